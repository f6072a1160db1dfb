"""Labels against a model's predictions: which are disbelieved, and why."""

import numpy as np
import pytest

from landmarks.health.disbelieved_labels import disbelief_findings, measure_disbelief

NAMES = [f"{i}.jpg" for i in range(400)]
ROWS = np.arange(400) + 1000


@pytest.fixture
def flip():
    return np.r_[np.arange(20, 40), np.arange(20)]


@pytest.fixture
def pair():
    """Predictions of 400 faces of 40 points that are a pixel or two beside their labels."""
    rng = np.random.default_rng(0)
    along = np.linspace(0, np.pi, 20)
    side = np.stack([20 + 30 * np.sin(along), 40 * np.cos(along)], axis=1)
    shape = np.concatenate([side, side * [-1, 1]])
    labels = shape * rng.uniform(0.7, 1.3, (400, 1, 1)) + rng.uniform(80, 120, (400, 1, 2))
    smooth = rng.normal(0, 1, (400, 1, 2)) * np.cos(np.arange(40) / 9)[:, None]
    return labels + smooth + rng.normal(0, 0.3, labels.shape), labels


def reasons(predicted, labels, flip):
    found = measure_disbelief(predicted, labels, flip)
    findings = disbelief_findings(NAMES, ROWS, found)
    return {finding.row - 1000: finding.reason for finding in findings}, found


def test_each_fault_is_named_and_good_labels_are_left(pair, flip):
    predicted, labels = pair
    rng = np.random.default_rng(1)
    labels[10] += [14, -9]
    labels[20] += rng.normal(0, 4, (40, 2))
    labels[30] = labels[30, flip]
    labels[40] = labels[40] * [1.5, 0.6] - [55, -40]
    named, found = reasons(predicted, labels, flip)
    expected = {10: "shifted", 20: "jittered", 30: "swapped", 40: "other-face"}
    assert {row: named[row] for row in expected} == {k: f"model-{v}" for k, v in expected.items()}
    assert len(named) <= 8  # 1 % of the others
    assert found.score[[10, 20, 30, 40]].min() > np.quantile(found.score, 0.98)


def test_a_bias_that_all_faces_share_is_no_fault(pair, flip):
    predicted, labels = pair
    named, _ = reasons(predicted + np.array([6, 3]), labels, flip)
    assert len(named) <= 8


def test_scale_changes_nothing_and_missing_labels_are_passed_over(pair, flip):
    predicted, labels = pair
    labels[10] += 12
    whole, found = reasons(predicted, labels, flip)
    again, scaled = reasons(7 * predicted, 7 * labels, flip)
    np.testing.assert_allclose(found.score, scaled.score)
    labels[10, 5:30] = np.nan
    labels[11] = np.nan
    some, _ = reasons(predicted, labels, None)
    assert some[10] == whole[10] == again[10] and 11 not in some
