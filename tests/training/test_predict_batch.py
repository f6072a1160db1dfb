"""A prediction that is recorded and replayed: on the CPU a replay is a call, with the same bits."""

import copy

import pytest
import torch
from torch import nn

from landmarks.errors import UserError
from landmarks.models.builders import classic_unet, regressor, unet
from landmarks.models.keypoint_rcnn.rcnn_head import RcnnHead
from landmarks.training import predict_batch as forward_module
from landmarks.training.cuda_graphs import record
from landmarks.training.precision import Precision
from landmarks.training.predict_batch import WARM_UP, Forward, RecordedForward, choose_forward
from landmarks.training.validation import predict
from landmarks.training.weight_averaging import Ema

SIZE, K, B = 32, 5, 4
PRECISION = Precision("off", torch.device("cpu"))
MODELS = {
    "resnet18": lambda **own: regressor(backbone="resnet18", weights="none", **own),
    "unet_resnet18": lambda **own: unet(backbone="resnet18", weights="none", **own),
    "unet": classic_unet,
}


def make(name="resnet18", seed=0):
    torch.manual_seed(seed)
    model = MODELS[name](num_points=K, input_size=SIZE).eval()
    for parameter in model.head.parameters():  # heads may start at zero
        nn.init.normal_(parameter, std=0.02)
    return model


class Batch:
    """What `predict` looks at of a batch."""

    def __init__(self, seed, count=B, size=SIZE):
        random = torch.Generator().manual_seed(seed)
        self.images = torch.randint(
            0, 256, (count, 3, size, size), generator=random, dtype=torch.uint8
        ).contiguous(memory_format=torch.channels_last)
        self.to_image = torch.randn(count, 2, 3, generator=random)

    def _replace(self, images, points, to_image):
        return self

    @property
    def points(self):
        return self.to_image


@pytest.fixture
def recorded(monkeypatch):
    """What was recorded, in order: the device of each recording; replays are counted."""
    log = []

    def noted(function, device):
        log.append("recorded")
        replay = record(function, device)

        def count():
            log.append("replayed")
            replay()

        return count

    monkeypatch.setattr(forward_module, "record", noted)
    return log


def found_by(model, batches, forward=None):
    return [found for _, *found in predict(model, batches, PRECISION, forward)]


def assert_same(found, expected):
    for values, others in zip(found, expected, strict=True):
        for value, other in zip(values, others, strict=True):
            assert value.shape == other.shape and value.dtype == other.dtype
            assert torch.equal(value, other) or (value.isnan().all() and other.isnan().all())


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_a_replay_finds_the_same_also_in_a_smaller_last_batch(name, flip, recorded):
    model = make(name)
    model.flip = torch.arange(K).flip(0) if flip else None
    batches = [Batch(seed) for seed in range(WARM_UP + 2)] + [Batch(9, count=3)]
    found = found_by(model, batches, RecordedForward(PRECISION))
    assert recorded == ["recorded"] + ["replayed"] * 3
    assert_same(found, found_by(model, batches))
    assert len({float(points[0, 0, 0]) for points, _ in found}) == len(batches)


def test_results_are_not_overwritten_by_the_next_replay(recorded):
    model, forward = make(), RecordedForward(PRECISION)
    batches = [Batch(seed) for seed in range(WARM_UP + 3)]
    found, copies = [], []
    for _, *values in predict(model, batches, PRECISION, forward):
        found.append(values)
        copies.append([value.clone() for value in values])
    assert_same(found, copies)
    assert recorded.count("replayed") == 3


def test_another_shape_is_recorded_anew(recorded):
    model, forward = make("unet"), RecordedForward(PRECISION)
    batches = [Batch(seed) for seed in range(4)]
    batches += [Batch(seed, size=48) for seed in range(4)]
    batches += [Batch(seed, count=B + 2) for seed in range(3)] + [Batch(5)]
    found = found_by(model, batches, forward)
    part = ["recorded", "replayed"]
    assert recorded == [*part, "replayed", *part, "replayed", *part, "replayed"]
    assert_same(found, found_by(model, batches))


def test_a_set_of_one_batch_is_recorded_after_some_epochs(recorded):
    model, forward = make(), RecordedForward(PRECISION)
    for epoch in range(WARM_UP + 2):
        assert_same(found_by(model, [Batch(epoch)], forward), found_by(model, [Batch(epoch)]))
    assert recorded == ["recorded", "replayed", "replayed"]


def test_weights_that_change_in_place_are_seen(recorded):
    trained, forward = make(), RecordedForward(PRECISION)
    ema = Ema(trained, 0.5)
    batches = [Batch(seed) for seed in range(4)]
    before = found_by(ema.model, batches, forward)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(0.1 * torch.rand_like(parameter))
    ema.update()
    found = found_by(ema.model, batches, forward)
    assert recorded.count("recorded") == 1 and recorded.count("replayed") == 2 + 4
    assert_same(found, found_by(copy.deepcopy(ema.model), batches))
    assert not torch.equal(found[0][0], before[0][0])


@pytest.mark.parametrize("change", ["model", "tensors", "flip"])
def test_other_tensors_are_recorded_anew(change, recorded):
    model, forward = make(), RecordedForward(PRECISION)
    batches = [Batch(seed) for seed in range(3)]
    found_by(model, batches, forward)
    other = make(seed=1)
    if change == "model":
        model = other
    elif change == "tensors":
        model.load_state_dict(other.state_dict(), assign=True)
    else:
        model.flip = torch.arange(K).flip(0)
    assert_same(found_by(model, batches, forward), found_by(model, batches))
    assert recorded.count("recorded") == 2


def test_what_cannot_be_recorded_is_predicted_all_the_same(monkeypatch, caplog):
    """It is tried once, not in every epoch."""
    tried = []

    def refuse(function, device):
        tried.append(device)
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(forward_module, "record", refuse)
    model, batches, forward = make(), [Batch(seed) for seed in range(5)], RecordedForward(PRECISION)
    for _ in range(2):
        assert_same(found_by(model, batches, forward), found_by(model, batches))
    assert len(caplog.records) == len(tried) == 1


def test_without_memory_for_it_nothing_is_recorded(monkeypatch, recorded):
    asked = []
    monkeypatch.setattr(forward_module, "has_room", lambda device: asked.append(device))
    model, batches, forward = make(), [Batch(seed) for seed in range(5)], RecordedForward(PRECISION)
    for _ in range(2):
        assert_same(found_by(model, batches, forward), found_by(model, batches))
    assert len(asked) == 1 and recorded == []


def test_memory_that_runs_out_is_no_failure_to_record(monkeypatch):
    def refuse(function, device):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(forward_module, "record", refuse)
    with pytest.raises(torch.OutOfMemoryError):
        found_by(make(), [Batch(seed) for seed in range(5)], RecordedForward(PRECISION))


def test_the_device_and_the_model_decide():
    on_cuda = copy.copy(PRECISION)
    on_cuda.device = torch.device("cuda")
    model = make()
    assert model.recordable and not RcnnHead.recordable
    assert type(choose_forward("auto", model, on_cuda)) is RecordedForward
    assert type(choose_forward(True, model, on_cuda)) is RecordedForward
    assert type(choose_forward(False, model, on_cuda)) is Forward
    assert type(choose_forward("auto", model, PRECISION)) is Forward
    with pytest.raises(UserError, match="graph=true"):
        choose_forward(True, model, PRECISION)
    model.head.recordable = False
    assert type(choose_forward("auto", model, on_cuda)) is Forward
    with pytest.raises(UserError, match="graph=true"):
        choose_forward(True, model, on_cuda)
