"""Confidence that knows, that knows nothing, and that is wrong."""

import numpy as np
import pytest

from landmarks.evaluation.calibration import judge_confidence


@pytest.fixture
def distance():
    rng = np.random.default_rng(0)
    return (rng.gamma(2, 1, (300, 1)) * rng.uniform(0.5, 1.5, (300, 20))).astype(np.float32)


def test_confidence_that_falls_with_the_error_is_right(distance):
    found = judge_confidence(distance, np.exp(-distance))
    assert found["points"]["rank_correlation"] == pytest.approx(-1, abs=1e-3)
    errors = [part["error"] for part in found["points"]["bins"]]
    assert errors == sorted(errors, reverse=True) and len(errors) == 10
    assert found["faces"]["area"] < 0.1
    assert found["faces"]["error"][0] == pytest.approx(distance.mean(), rel=1e-5)
    assert found["faces"]["error"][-1] < found["faces"]["error"][0]


def test_confidence_without_meaning_gains_nothing(distance):
    noise = np.random.default_rng(1).random(distance.shape).astype(np.float32)
    found = judge_confidence(distance, noise)
    assert abs(found["points"]["rank_correlation"]) < 0.05
    assert found["faces"]["area"] == pytest.approx(1, abs=0.25)
    assert judge_confidence(distance, distance)["faces"]["area"] > 1.5


def test_missing_labels_and_even_confidence(distance):
    distance[:, 3] = np.nan
    found = judge_confidence(distance, np.ones_like(distance))
    assert found["points"]["rank_correlation"] is None
    assert sum(part["n"] for part in found["points"]["bins"]) == 300 * 19
