"""Errors of visible and occluded points apart."""

import numpy as np
import pytest

from landmarks.evaluation.face_errors import measure
from landmarks.evaluation.visible_points import measure_visibility


def test_errors_are_those_of_the_points_of_a_kind():
    truth = np.zeros((2, 3, 2))
    truth[:, 1] = [10, 0]  # the size of a face is 10
    predicted = truth + np.array([[[3, 4], [0, 0], [6, 8]], [[0, 0], [0, 2], [9, 9]]])
    truth[1, 2] = np.nan
    names = np.array([b"a", b"b"])
    errors = measure([(predicted, truth, None)], names, np.arange(2), 3, [0, 1])
    visible, occluded = measure_visibility(errors, np.uint8([[1, 2, 1], [2, 2, 0]]))
    assert visible["points"] == "visible" and (visible["n"], occluded["n"]) == (3, 2)
    assert visible["mean"] == pytest.approx(2 / 3) and occluded["mean"] == pytest.approx(7.5)
    assert occluded["mse"] == pytest.approx((25 + 100) / 4)
    assert occluded["nme"] == pytest.approx(0.75)
    assert measure_visibility(errors, None) == []
