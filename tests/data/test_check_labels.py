"""Which points have labels, and what is said where none has."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from refusals import refused

from landmarks.data import check_labels as labels
from landmarks.data.check_labels import BLOCK, MEASURED_AT_ONCE
from landmarks.data.faces import Faces
from landmarks.errors import UserError


def make_faces(points):
    names = np.array([f"{i}.png".encode() for i in range(len(points))])
    return Faces(Path(), names, points, source="here")


def test_a_point_that_one_face_has_is_labelled():
    points = np.full((2 * BLOCK + 5, 4, 2), np.nan, np.float32)
    points[0, 0], points[-1, 1], points[:, 2, 0] = 1, 2, 3  # a lone x is no point
    rows = np.arange(len(points))
    assert labels.find_labelled(points, rows).tolist() == [True, True, False, False]
    assert labels.find_labelled(points, rows[:-1]).tolist() == [True, False, False, False]
    assert labels.find_labelled(points, rows[:0]).tolist() == [False] * 4


def test_a_part_without_labels_is_refused():
    points = np.ones((6, 3, 2), np.float32)
    points[4:] = np.nan
    points[0, 1] = np.nan
    faces, every = make_faces(points), np.arange(6)
    assert labels.require_labels(faces, every[:1], every[3:]).tolist() == [True, False, True]
    with refused("2 validation faces", "'4.png'"):
        labels.require_labels(faces, every[:4], every[4:])
    with refused("2 training faces"):
        labels.require_labels(faces, every[4:], every[:4])


def test_points_are_named_up_to_five(caplog):
    labels.warn_of_unlabelled(np.ones(9, bool), "here")
    assert not caplog.text
    labels.warn_of_unlabelled(np.arange(9) != 4, "here")
    assert "Never labelled in here: 1 point (4)." in caplog.text
    labels.warn_of_unlabelled(np.arange(9) < 2, "here")
    assert "7 points (2, 3, 4, 5, 6, ...)" in caplog.text


def test_a_name_that_few_faces_have_may_be_misspelt(caplog):
    points = np.ones((40, 4, 2), np.float32)
    points[3, 1] = np.nan  # whose label got the name of the last one
    points[np.arange(40) != 3, 3] = np.nan
    points[::2, 2] = np.nan  # half of the faces are turned away
    faces, every = make_faces(points), np.arange(40)
    labels.warn_of_misspelt(faces, every)
    assert not caplog.text  # numbers are not spelt
    faces = replace(faces, point_names=["eye", "nose", "ear", "nosse"])
    labels.warn_of_misspelt(faces, every)
    assert "'nosse' in 1" in caplog.text and "40 faces" in caplog.text
    assert not any(f"'{name}'" in caplog.text for name in ("eye", "nose", "ear"))
    caplog.clear()
    labels.warn_of_misspelt(faces, every[4:])
    labels.warn_of_misspelt(faces, every[:10])  # of so few faces nothing can be told
    assert not caplog.text


def test_faces_that_two_sets_have_are_told(caplog):
    points = np.random.default_rng(0).uniform(0, 60, (4, 3, 2)).astype(np.float32)
    points[3] = np.nan
    names = [f"{folder}/{i}.png".encode() for folder in ("one", "two") for i in range(4)]
    faces = Faces(Path(), np.array(names), np.concatenate([points, points]), source="here")
    every = np.arange(8)
    labels.warn_of_copies(faces, every)
    assert not caplog.text  # in one set an image may show several faces
    faces = replace(faces, sets=np.repeat([0, 1], 4).astype(np.uint8))
    labels.warn_of_copies(faces, np.array([0, 1, 6, 7]))
    other = faces.points.copy()
    other[4:, 1] += 1  # the same images, labelled anew
    labels.warn_of_copies(replace(faces, points=other), every)
    assert not caplog.text
    labels.warn_of_copies(faces, every[1:])
    (said,) = caplog.messages
    assert said.startswith("2 of 7 faces") and "data.exclude" in said
    assert "'two/1.png' of data.sets[1]" in said and "'one/1.png' of data.sets[0]" in said


@pytest.mark.parametrize("place", [(1e30, 20), (20, -1e7), (np.nan, 2e6)])
def test_a_label_that_no_image_can_hold_is_refused(tmp_path, place):
    points = np.full((MEASURED_AT_ONCE + 5, 4, 2), 30, np.float32)
    points[3] = np.nan
    points[-2, 1] = place
    names = np.array([f"{i}.png".encode() for i in range(len(points))])
    faces, every = Faces(tmp_path, names, points, source="here"), np.arange(len(points))
    labels.refuse_impossible(faces, every[:-2])
    with pytest.raises(UserError, match=rf"here: point 1 of '{MEASURED_AT_ONCE + 3}\.png' is at"):
        labels.refuse_impossible(faces, every)


@pytest.fixture
def wide(tmp_path):
    """Six faces at the right of wide images."""
    names = np.array([f"{i}.png".encode() for i in range(6)])
    for name in names:
        cv2.imwrite(str(tmp_path / name.decode()), np.zeros((40, 120, 3), np.uint8))
    points = np.random.default_rng(0).uniform((60, 0), (119, 39), (6, 50, 2)).astype(np.float32)
    return Faces(tmp_path, names, points, source="here")


def test_exchanged_coordinates_are_warned_of(wide, caplog):
    rows = np.arange(6)
    labels.warn_of_outside(wide, rows)
    assert not caplog.text
    wide.points[0, :10] = -5  # a face that sticks out
    labels.warn_of_outside(wide, rows)
    assert not caplog.text
    wide.points[:] = wide.points[:, :, ::-1]
    labels.warn_of_outside(wide, rows)
    assert "exchanged" in caplog.text and "6 faces" in caplog.text


def test_labels_beside_their_images_are_warned_of(wide, caplog):
    wide.points[:3] += 500
    labels.warn_of_outside(wide, np.arange(6))
    assert "50 %" in caplog.text and "exchanged" not in caplog.text
