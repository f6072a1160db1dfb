"""Where points lie, degenerate faces, and what a crop does to them."""

from pathlib import Path

import numpy as np
import pytest

from landmarks.data.faces import Faces
from landmarks.geometry import BoxCrop
from landmarks.health.check_summary import try_crop
from landmarks.health.label_facts import find_places, is_degenerate

SQUARE = [[0, 0], [9, 0], [9, 9], [0, 9]]


def test_places():
    points = np.array([SQUARE, SQUARE, SQUARE, np.full((4, 2), np.nan)], np.float32)
    points[1] -= (1, 0)
    points[2, 0] = np.nan
    sizes = np.array([[10, 10], [10, 10], [10, 5], [0, 0]])
    places = find_places(points, np.arange(4), sizes)
    assert places.labelled.tolist() == [4, 4, 3, 0]
    assert places.outside[:3] == pytest.approx([0, 0.5, 2 / 3]) and np.isnan(places.outside[3])
    assert places.negative.tolist() == [0, 2, 0, 0]
    assert places.extent[:3].tolist() == [[9, 9]] * 3 and np.isnan(places.extent[3]).all()


def degenerate(points):
    points = np.asarray(points, np.float32)
    places = find_places(points, np.arange(len(points)), np.full((len(points), 2), 2000))
    return np.flatnonzero(is_degenerate(places)).tolist()


def test_degenerate_faces():
    points = np.tile(np.array(SQUARE, np.float32) * 10, (40, 1, 1))
    points[1] = 5
    points[2, :, 1] = 3  # a line
    points[3, 1:] = np.nan  # one point is no face, and no fault of its own
    points[4] *= 0.03
    assert degenerate(points) == [1, 2, 4]


def test_points_that_lie_on_a_line_or_close_together_in_most_faces_may():
    rng = np.random.default_rng(0)
    across = np.rint(rng.uniform(40, 90, (300, 1)) * [0, 0.3, 0.7, 1])
    corners = np.stack([across, np.rint(rng.normal(60, 3, (300, 4)))], 2)  # of two eyes
    flat = (np.ptp(corners[..., 1], axis=1) == 0).sum()
    corners[7] = corners[7, 0]
    assert degenerate(corners) == [7] and degenerate(corners[:, :2]) == [7]
    corners[9, :, 1] = 60
    assert flat < 5 and degenerate(corners) == [7]  # as faces looking straight ahead do
    cross = np.array([[0, 0], [-1.4, 0], [0, -1.4], [1.4, 0], [0, 1.4]])
    iris = np.rint(cross * rng.uniform(0.8, 1.2, (300, 1, 1)) + rng.uniform(50, 99, (300, 1, 2)))
    assert np.mean(np.ptp(iris, axis=1).max(1) < 4) > 0.9 and degenerate(iris) == []


def test_crops_lose_what_lies_outside():
    points = np.array([[[1, 20], [30, 20], [58, 20], [np.nan, np.nan]]], np.float32)
    faces = Faces(Path(), np.array([b"a"]), points, boxes=np.array([[20, 10, 40, 30]], np.float32))
    sizes, rows = np.array([[60, 40]]), np.array([0])
    error, spans, lost = try_crop(faces, rows, sizes, "letterbox", 30)
    assert error < 1e-4 and lost == [0] and spans.shape == (1,)
    _, _, lost = try_crop(faces, rows, sizes, "center", 30)
    assert lost == pytest.approx([2 / 3])
    error, _, lost = try_crop(faces, rows, sizes, BoxCrop(0.0), 30)
    assert lost == pytest.approx([2 / 3]) and error < 1e-4
