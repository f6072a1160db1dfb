"""Predictions on a GPU: recorded ones are the eager ones, and nothing waits."""

import numpy as np
import pytest
import torch

from landmarks.data.batches.cropped_faces import Batch
from landmarks.training.precision import Precision
from landmarks.training.predict_batch import RecordedForward
from landmarks.training.validation import predict_ahead

SIZE, K = 64, 68
MODELS = ["resnet18", "unet_resnet18", "unet", "mobilenet_v3_large"]


def prediction_batches(count, size=SIZE, last=3):
    """Batches of 4 faces in pinned memory, the last one smaller, by `Batch`'s names."""
    random = torch.Generator().manual_seed(0)
    batches = []
    for i in range(count):
        faces = last if i == count - 1 else 4
        images = torch.randint(
            0, 256, (faces, 3, size, size), generator=random, dtype=torch.uint8
        ).contiguous(memory_format=torch.channels_last)
        points = torch.rand(faces, K, 2, generator=random) * size
        to_image = torch.eye(2, 3).repeat(faces, 1, 1)
        rows, readable = torch.arange(faces), torch.ones(faces, dtype=torch.bool)
        pinned = (part.pin_memory() for part in (images, points, to_image))
        batches.append(Batch(*pinned, rows, readable))
    return batches


@pytest.fixture
def predictor_of(make, cuda):
    """Build a model whose heads answer, and its precision."""

    def build_named(name, amp="off"):
        model = make(name).to(cuda, memory_format=torch.channels_last).eval()
        for parameter in model.head.parameters():  # heads may start at zero
            torch.nn.init.normal_(parameter, std=0.05)
        return model, Precision(amp, cuda)

    return build_named


@pytest.mark.parametrize("amp", ["off", "bf16"])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("name", MODELS)
@torch.backends.cudnn.flags(enabled=True, allow_tf32=False)  # 10 bits are 0.1 px of random heads
def test_recorded_prediction_is_eager_prediction(name, flip, amp, cuda, predictor_of):
    """Also with a smaller last batch, and with weights that change in place or are other ones."""
    model, precision = predictor_of(name, amp)
    model.flip = torch.arange(K, device=cuda).flip(0) if flip else None
    batches, forward = prediction_batches(6), RecordedForward(precision)
    for change in ("none", "in place", "other"):
        if change == "in place":
            for parameter in model.parameters():
                parameter.data.mul_(1.1)
        elif change == "other":
            other = predictor_of(name)[0].state_dict()
            model.load_state_dict(other, assign=True)
        eager = list(predict_ahead(model, batches, precision))
        found = list(predict_ahead(model, batches, precision, forward))
        assert forward.replay is not None and len(found) == len(eager) == 6
        for (_, points, sure), (_, wanted, other) in zip(found, eager, strict=True):
            assert points.shape == wanted.shape and np.isfinite(points).all()
            # Another algorithm may round otherwise, and then another of two like cells be largest.
            assert (np.abs(points - wanted).max(2) < 0.05).mean() > 0.98
            np.testing.assert_allclose(sure, other, atol=0.02)


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_prediction_does_not_wait_for_the_gpu(name, recorded, predictor_of):
    model, precision = predictor_of(name, "auto")
    forward = RecordedForward(precision) if recorded else None
    batches = prediction_batches(9)
    list(predict_ahead(model, batches, precision, forward))  # tuned, recorded and allocated
    torch.cuda.set_sync_debug_mode("error")
    found = list(predict_ahead(model, batches, precision, forward))
    torch.cuda.set_sync_debug_mode("default")
    assert len(found) == 9 and all(np.isfinite(points).all() for _, points, _ in found)
