"""Turning angles: closed forms, and what noise does to them."""

import numpy as np
import pytest

from landmarks.health.jittered_contours import find_contours, turning_angles


def arc(count, radius=100.0):
    angle = np.linspace(0, np.pi / 2, count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)[None]


def test_an_arc_turns_by_its_angle_a_step():
    assert turning_angles(arc(10), [np.arange(10)]) == pytest.approx(10.0)


def test_noise_turns_more():
    noisy = arc(30) + np.random.default_rng(0).normal(0, 4, (1, 30, 2))
    assert turning_angles(noisy, [np.arange(30)]) > 70


def test_jaws_are_thinned_where_rounding_would_turn_them():
    points = np.repeat(arc(64, 60.0), 3, axis=0)
    (dense,) = find_contours({"jaw_left": [0, 63], "nose": [3, 40], "jaw_tip": [0, 4]}, points)
    assert dense.tolist() == list(range(0, 64, 3))
    assert turning_angles(np.rint(points), [dense]).max() < 20
    (spread,) = find_contours({"jaw": [0, 16]}, np.repeat(arc(17), 2, axis=0))
    assert spread.tolist() == list(range(17))


def test_missing_points_are_left_out():
    points = arc(10)
    points[:, 5] = np.nan
    assert turning_angles(points, [np.arange(10)]) == pytest.approx(10.0)
    assert np.isnan(turning_angles(np.full((2, 10, 2), np.nan), [np.arange(10)])).all()
    assert np.isnan(turning_angles(points, [])).all()
