"""Predictions on their way to the host: in order, complete, and one batch behind the model."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from landmarks.training.precision import Precision
from landmarks.training.validation import predict, predict_ahead


class Noted(nn.Module):
    """Predicts the images' first values; notes when."""

    def __init__(self, log):
        super().__init__()
        self.log = log

    def report(self):
        pass

    def forward(self, images):
        self.log.append(("begun", int(images.flatten()[0])))
        return images.flatten(1)[:, :2].view(-1, 1, 2).bfloat16(), torch.ones(len(images), 1)


def batches(count):
    eye = torch.eye(2, 3).expand(2, 2, 3)
    return [
        SimpleNamespace(images=torch.full((2, 3, 4, 4), float(i)), to_image=eye)
        for i in range(count)
    ]


@pytest.mark.parametrize("count", [0, 1, 4])
def test_a_batch_is_handed_over_when_the_next_has_been_begun(count):
    log, given = [], batches(count)
    precision = Precision("off", torch.device("cpu"))
    for batch, points, confidence in predict_ahead(Noted(log), given, precision):
        log.append(("done", int(batch.images.flatten()[0])))
        assert points.dtype == confidence.dtype == np.float32
        assert points.shape == (2, 1, 2) and confidence.shape == (2, 1)
    order = [("begun", 0)] + [step for i in range(1, 4) for step in (("begun", i), ("done", i - 1))]
    expected = {0: [], 1: [("begun", 0), ("done", 0)], 4: [*order, ("done", 3)]}
    assert log == expected[count]


def test_ahead_is_the_same():
    precision, model = Precision("off", torch.device("cpu")), Noted([])
    plain = [points.numpy() for _, points, _ in predict(model, batches(3), precision)]
    ahead = [points for _, points, _ in predict_ahead(model, batches(3), precision)]
    assert all(np.array_equal(a, b) for a, b in zip(plain, ahead, strict=True))
