"""Prediction frames faces as training did, or says that it does not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from refusals import refused

from landmarks.data.faces import Faces
from landmarks.geometry import BoxCrop
from landmarks.inference.face_framing import frame_as_trained

POINTS = np.array([[[10, 20], [30, 40]], [[5, 6], [7, 10]]], np.float32)
TIGHT = [[10, 20, 30, 40], [5, 6, 7, 10]]
LOOSE = np.array([[0, 0, 60, 60], [0, 0, 50, 50]], np.float32)
BOX = {"crop": "box", "box_margin": 0.25, "box_from": "data", "data": {}}
STRETCH = {**BOX, "crop": "stretch"}


def make_faces(points=POINTS, boxes=LOOSE):
    return Faces(Path(), np.array([b"a.png", b"b.png"]), points, boxes=boxes, source="here")


@pytest.mark.parametrize(
    ("trained", "given", "boxes", "margin", "said"),
    [
        ({"box_from": "data"}, {}, LOOSE, 0.25, ""),
        ({"box_from": "points"}, {}, TIGHT, 0.25, "framed by their labels, as in training"),
        ({"box_from": "points"}, {"box_from": "data"}, LOOSE, 0.25, "trained with box_from=points"),
        ({"box_from": "points"}, {"box_from": "points"}, TIGHT, 0.25, ""),
        ({"box_from": "data"}, {"box_from": "points"}, TIGHT, 0.25, "trained with box_from=data"),
        ({"box_from": "data"}, {"box_margin": 0.1}, LOOSE, 0.1, "box_from=data, box_margin=0.25"),
        ({"box_from": "data"}, {"box_margin": 0.25}, LOOSE, 0.25, ""),
    ],
)
def test_as_trained_or_said(trained, given, boxes, margin, said, caplog):
    given = {"box_from": None, "box_margin": None, **given}
    faces, crop = frame_as_trained(make_faces(), {**BOX, **trained}, **given, leave_out=False)
    assert crop == BoxCrop(margin) and np.array_equal(faces.boxes, boxes)
    assert said in caplog.text and bool(said) == bool(caplog.text)


@pytest.mark.parametrize(
    ("trained", "given", "faces", "said"),
    [
        ({**BOX, "box_from": "points"}, {}, make_faces(None), ["box_from=points", "box_from=data"]),
        ({**BOX, "box_from": "points"}, {}, make_faces(None, None), ["box_from=points"]),
        (
            {**BOX, "box_from": "data"},
            {},
            make_faces(boxes=None),
            ["crop=box", "box_from=points"],
        ),
        (BOX, {"box_from": "points"}, make_faces(None), ["box_from=points"]),
        (
            STRETCH,
            {"box_margin": 0.5},
            make_faces(),
            ["box_margin=0.5"],
        ),
    ],
)
def test_what_cannot_be_framed_alike_is_refused(trained, given, faces, said):
    given = {"box_from": None, "box_margin": None, **given}
    with refused(*said):
        frame_as_trained(faces, trained, **given, leave_out=False)


def test_without_a_crop_boxes_are_not_looked_at():
    faces = make_faces(None)
    trained = {**STRETCH, "box_from": "points"}
    assert frame_as_trained(faces, trained, None, None, False) == (faces, "stretch")


@pytest.mark.parametrize(("read", "trained_on"), [("ignore", "rotate"), ("rotate", "ignore")])
def test_photos_that_may_lie_on_their_side_are_said(read, trained_on, caplog):
    trained = {**STRETCH, "data": {"exif": trained_on}}
    frame_as_trained(replace(make_faces(), exif=read), trained, None, None, False)
    assert ("data.exif=ignore, and the model was" in caplog.text) == (read == "ignore")


def test_labels_that_count_from_one_are_said(caplog):
    caplog.set_level("INFO")
    for one_based in (False, True):
        trained = {**STRETCH, "data": {"one_based": one_based}}
        frame_as_trained(make_faces(), trained, None, None, False)
        assert ("add 1" in caplog.text) == one_based
