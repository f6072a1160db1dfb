"""Which points have labels, and what is said where none has."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from refusals import refused

from landmarks.data.faces import Faces
from landmarks.data.labelled_points import (
    BLOCK,
    find_labelled,
    require_labels,
    warn_of_misspelt,
    warn_of_unlabelled,
)


def make_faces(points):
    names = np.array([f"{i}.png".encode() for i in range(len(points))])
    return Faces(Path(), names, points, source="here")


def test_a_point_that_one_face_has_is_labelled():
    points = np.full((2 * BLOCK + 5, 4, 2), np.nan, np.float32)
    points[0, 0], points[-1, 1], points[:, 2, 0] = 1, 2, 3  # a lone x is no point
    rows = np.arange(len(points))
    assert find_labelled(points, rows).tolist() == [True, True, False, False]
    assert find_labelled(points, rows[:-1]).tolist() == [True, False, False, False]
    assert find_labelled(points, rows[:0]).tolist() == [False] * 4


def test_a_part_without_labels_is_refused():
    points = np.ones((6, 3, 2), np.float32)
    points[4:] = np.nan
    points[0, 1] = np.nan
    faces, every = make_faces(points), np.arange(6)
    assert require_labels(faces, every[:1], every[3:]).tolist() == [True, False, True]
    with refused("2 validation faces", "'4.png'"):
        require_labels(faces, every[:4], every[4:])
    with refused("2 training faces"):
        require_labels(faces, every[4:], every[:4])


def test_points_are_named_up_to_five(caplog):
    warn_of_unlabelled(np.ones(9, bool), "here")
    assert not caplog.text
    warn_of_unlabelled(np.arange(9) != 4, "here")
    assert "Never labelled in here: 1 point (4)." in caplog.text
    warn_of_unlabelled(np.arange(9) < 2, "here")
    assert "7 points (2, 3, 4, 5, 6, ...)" in caplog.text


def test_a_name_that_few_faces_have_may_be_misspelt(caplog):
    points = np.ones((40, 4, 2), np.float32)
    points[3, 1] = np.nan  # whose label got the name of the last one
    points[np.arange(40) != 3, 3] = np.nan
    points[::2, 2] = np.nan  # half of the faces are turned away
    faces, every = make_faces(points), np.arange(40)
    warn_of_misspelt(faces, every)
    assert not caplog.text  # numbers are not spelt
    faces = replace(faces, point_names=["eye", "nose", "ear", "nosse"])
    warn_of_misspelt(faces, every)
    assert "'nosse' in 1" in caplog.text and "40 faces" in caplog.text
    assert not any(f"'{name}'" in caplog.text for name in ("eye", "nose", "ear"))
    caplog.clear()
    warn_of_misspelt(faces, every[4:])
    warn_of_misspelt(faces, every[:10])  # of so few faces nothing can be told
    assert not caplog.text
