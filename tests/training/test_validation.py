"""Predictions on their way to the host: in order, complete, and one batch behind the model."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from landmarks.models.heads import RegressionHead
from landmarks.models.heatmap_head import HeatmapHead
from landmarks.models.landmarker import Landmarker
from landmarks.models.model_protocols import Backbone
from landmarks.training.precision import Precision
from landmarks.training.validation import EmptyMapsWarning, predict, predict_ahead, validate


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


SIZE, K = 16, 3


class Ones(Backbone):
    """One channel of ones, a cell a pixel."""

    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)

    def forward(self, images):
        return [torch.ones_like(images[:, :1])]


def confidence_of(head, missing=()):
    """Validate two batches of faces; return the confidence."""
    points = torch.full((2, K, 2), 5.0)
    points[:, list(missing)] = torch.nan
    images, to_image = torch.zeros(2, 3, SIZE, SIZE, dtype=torch.uint8), torch.eye(2, 3)
    batch = SimpleNamespace(images=images, points=points, to_image=to_image.expand(2, 2, 3))
    precision = Precision("off", torch.device("cpu"))
    return validate(Landmarker(Ones(), head), [batch, batch], precision, None)["confidence"]


def heatmap_head(heights):
    """A head whose maps are flat, of these heights."""
    head = HeatmapHead(1, K, SIZE)
    nn.init.zeros_(head.weight)
    with torch.no_grad():
        head.bias.copy_(torch.tensor(heights))
    return head


def warnings_of(tmp_path, caplog, confidence, shares=(0.02, 0.2, 0.3), steps=10_000):
    logger = EmptyMapsWarning(tmp_path)
    row = {} if math.isnan(confidence) else {"val_confidence": confidence}
    said = []
    for share in shares:
        caplog.clear()
        logger.log_epoch([{**row, "step": int(share * steps)}], share)
        said.append([record.getMessage() for record in caplog.records])
    return said


def test_a_collapsed_head_is_told_once_and_not_at_the_very_start(tmp_path, caplog):
    confidence = confidence_of(heatmap_head([0.0] * K))
    assert confidence == 0
    before, then, after = warnings_of(tmp_path, caplog, confidence)
    assert before == after == []
    assert "model.sigma" in then[0] and "20 %" in then[0]


def test_few_steps_are_told_that_they_were_few_at_the_end(tmp_path, caplog):
    confidence = confidence_of(heatmap_head([0.01] * K))
    half, end = warnings_of(tmp_path, caplog, confidence, shares=(0.5, 1.0), steps=12)
    assert half == [] and "after 12 steps" in end[0] and "0.010" in end[0]
    assert "collapsed" not in end[0]


def test_only_labelled_points_count(tmp_path, caplog):
    head = heatmap_head([0.8, 0.6, 0.0])
    assert confidence_of(head, missing=[2]) == pytest.approx(0.7)
    assert confidence_of(head, missing=[0, 1]) == 0
    assert warnings_of(tmp_path, caplog, confidence_of(head)) == [[], [], []]


def test_regression_has_no_confidence_and_is_told_nothing(tmp_path, caplog):
    confidence = confidence_of(RegressionHead(1, K, SIZE))
    assert math.isnan(confidence)
    assert warnings_of(tmp_path, caplog, confidence) == [[], [], []]
