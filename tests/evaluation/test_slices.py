"""Slices: which faces are in them, and what their errors are."""

import cv2
import numpy as np
import pytest

from landmarks.data.faces import Faces
from landmarks.evaluation.face_errors import FaceErrors
from landmarks.evaluation.image_quality import measure_looks
from landmarks.evaluation.slices import (
    cut_evenly,
    cut_share_outside,
    cut_turns,
    measure_slice,
    name_kinds,
)


def errors_of(squared):
    count = len(squared)
    nothing = np.zeros(count)
    names, rows = np.array([b"a"] * count), np.arange(count)
    wide = np.ones((count, 2), np.float32)
    return FaceErrors(
        names, rows, squared, squared, nothing, nothing + 1, squared / 100, wide, wide, None
    )


def parts(labels, squared):
    found = measure_slice("what", labels, errors_of(squared), np.arange(len(squared)))
    return {part["label"]: part for part in found["parts"]}


def test_quarters_hold_as_many_faces_and_their_errors():
    values = np.random.default_rng(0).permutation(np.arange(100.0))
    found = parts(cut_evenly(values, " px"), values)
    assert [part["faces"] for part in found.values()] == [25, 25, 25, 25]
    assert next(iter(found)) == "0 to 25 px"
    assert [part["mse"] for part in found.values()] == [12, 37, 62, 87]
    first = next(iter(found.values()))
    assert first["mse_low"] < 12 < first["mse_high"] and first["nme"] == pytest.approx(0.12)


def test_unknown_values_come_last_and_unlabelled_faces_nowhere():
    values = np.array([1.0, 2, 3, 4, np.nan, 5])
    squared = np.array([1.0, 1, 1, np.nan, 7, 1])
    found = parts(cut_evenly(values), squared)
    assert list(found)[-1] == "(unknown)" and found["(unknown)"]["mse"] == 7
    assert sum(part["faces"] for part in found.values()) == 5


def test_turns_and_edges():
    labels = cut_turns(np.array([-100.0, -20, 0, 14.9, 16, 89]))
    found = parts(labels, np.arange(6.0))
    assert [part["faces"] for part in found.values()] == [1, 1, 2, 1, 1]
    outside = cut_share_outside(np.array([0, 0.01, 0.3, np.nan]))
    assert outside.tolist() == ["none", "up to 5 %", "more than 5 %", "(unknown)"]


def test_a_column_of_numbers_is_cut_and_rare_texts_are_joined():
    assert len(set(name_kinds([str(i) for i in range(40)]))) == 4
    names = name_kinds(["a"] * 5 + [f"k{i}" for i in range(30)] + [""])
    assert set(names[:5]) == {"a"} and "(others)" in names and names[-1] == "(unknown)"


def test_images_are_measured_in_the_box_of_the_face(tmp_path):
    dark = np.zeros((100, 100), np.uint8)
    dark[40:60, 40:60] = 200  # the face: bright and even
    rough = np.random.default_rng(0).integers(0, 255, (100, 100)).astype(np.uint8)
    for name, image in (("a.png", dark), ("b.png", rough)):
        cv2.imwrite(str(tmp_path / name), image)
    square = np.array([[40, 40], [59, 59], [40, 59], [59, 40]], np.float32)
    over = square + np.array([50, 0])
    points = np.stack([square, over, square])
    faces = Faces(tmp_path, np.array([b"a.png", b"b.png", b"gone.png"]), points.astype(np.float32))
    looks = measure_looks(faces, np.arange(3))
    assert looks.brightness[0] == pytest.approx(200) and looks.sharpness[0] < 1
    assert looks.sharpness[1] > 20 and looks.outside.tolist()[:2] == [0, 0.5]
    assert np.isnan([looks.brightness[2], looks.outside[2]]).all()
