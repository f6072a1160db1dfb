"""Numbers that may be no places: asked about in one sentence, and read as it was answered."""

import numpy as np
import pytest
from refusals import refused

from landmarks.data.reading.pixels_or_fractions import Doubts
from landmarks.errors import UserError

GONE = [np.nan, np.nan]


@pytest.fixture
def faces():
    """Twelve faces of 5 points about (60, 50), 40 wide; float32."""
    shape = np.array([[-20, -15], [20, -15], [0, 0], [-12, 15], [12, 20]])
    moved = np.random.default_rng(0).normal(0, 2, (12, 5, 2))
    return (shape + moved + [60, 50]).astype(np.float32)


def read(points, missing=None, hidden=None, seen=None):
    doubts, blocks = Doubts(missing, hidden), []
    for start in range(0, len(points), 5):  # block by block
        rows = slice(start, start + 5)
        blocks.append(doubts.clear(points[rows], None if seen is None else seen[rows]))
    doubts.ask("t.csv")
    return np.concatenate(blocks)


def test_clean_labels_are_not_asked_about(faces):
    for move in (0, -38, -60, 400):  # at the image's corner, partly outside, far away
        moved = faces + np.float32(move)
        assert np.array_equal(read(moved), moved)
    faces[3, 2] = np.nan
    faces[4] = np.nan
    faces[5, 1] = 0  # one slip is for `landmarks check`
    faces[7] = faces[7, 2, 0]
    assert np.array_equal(read(faces), faces, equal_nan=True)


def test_real_labels_are_not_asked_about(faces68, faces971):
    from landmarks.data.tables.landmarks_csv import map_labels

    for root in (faces68, faces971):
        map_labels(root / "train/landmarks.csv")


@pytest.mark.parametrize("value", [-1, -999, 0, 9999])
def test_a_number_that_stands_for_missing_is_asked_about(faces, value):
    marked = faces.copy()
    marked[2, 1] = marked[8, 4] = marked[9, 0] = value
    with pytest.raises(UserError, match=rf"3 points at \({value}, {value}\).*data\.missing="):
        read(marked)
    cleared = read(marked, missing=value)
    assert np.isnan(cleared[[2, 8, 9], [1, 4, 0]]).all() and np.isnan(cleared).sum() == 6
    assert np.array_equal(read(marked, missing="none"), marked)
    assert not np.shares_memory(cleared, marked)


def test_a_face_without_any_point_is_asked_about(faces):
    faces[3] = -1
    with pytest.raises(UserError, match=r"5 points at \(-1, -1\)"):
        read(faces)


def test_negative_points_are_asked_about(faces):
    hidden = faces.copy()
    hidden[1, :2] *= -1
    hidden[2] *= -1
    hidden[3, 0] = -1
    with refused("7 points", 0, "data.missing=negative"):
        read(hidden)
    cleared = read(hidden, missing="negative")
    assert np.isnan(cleared).sum() == 2 * 8
    assert np.array_equal(read(hidden, missing="none"), hidden)


@pytest.mark.parametrize("nowhere", [0, -1, np.nan])
def test_hidden_points_without_a_place_are_missing(faces, nowhere):
    seen = np.ones((12, 5), np.float32)
    marked = faces.copy()
    for row, point in ((2, 1), (8, 4), (9, 0)):
        marked[row, point], seen[row, point] = nowhere, 0
    for hidden in (None, "missing", "labelled"):
        cleared = read(marked, hidden=hidden, seen=seen)
        assert np.array_equal(np.isnan(cleared).all(axis=2), seen == 0)


def test_hidden_points_with_a_place_are_asked_about(faces):
    seen = np.full((12, 5), 2, np.float32)
    seen[4, 3] = seen[5, 1] = 0
    with refused("2 points", "v=0", "data.hidden=missing"):
        read(faces, seen=seen)
    cleared = read(faces, hidden="missing", seen=seen)
    assert np.array_equal(np.isnan(cleared).all(axis=2), seen == 0)
    assert np.array_equal(read(faces, hidden="labelled", seen=seen), faces)


@pytest.mark.parametrize("form", ["0 to 1", "-1 to 1", "with gaps"])
def test_shares_of_the_image_are_refused(faces, form):
    shares = faces / np.float32(100)
    if form == "-1 to 1":
        shares = 2 * shares - 1
    if form == "with gaps":
        shares[::2, 1] = np.nan
    with refused("points", 0, 1):
        read(shares, missing="none")


def test_boxes_that_are_shares_are_refused(faces):
    doubts = Doubts(None, None)
    doubts.clear(faces, None)
    doubts.measure("boxes", np.random.default_rng(0).random((12, 4), np.float32))
    with refused("boxes", 0, 1):
        doubts.ask("t.csv")
