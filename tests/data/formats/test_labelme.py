"""Labelme's files, one a picture."""

import json

import cv2
import numpy as np
import pytest
from refusals import refused

from landmarks.data.formats.labelme import read_faces


def shape(label, *points, kind="point", group=None):
    return {"label": label, "points": [*points], "group_id": group, "shape_type": kind, "flags": {}}


@pytest.fixture
def write(tmp_path):
    """Write one file with these shapes, and its image; return their folder."""

    def write(*shapes, name="a.json", image="a.png", written=None):
        for place in (tmp_path / name, tmp_path / image):
            place.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / image), np.full((64, 64, 3), 99, np.uint8))
        content = {"version": "5.4.1", "flags": {}, "shapes": shapes, "imageData": None}
        content["imagePath"] = written or image.rpartition("/")[2]
        (tmp_path / name).write_text(json.dumps(content, indent=1))
        return str(tmp_path)

    return write


def test_faces_of_a_picture_are_its_groups(write):
    root = write(
        shape("nose", [400, 300.5], group=1),
        shape("left eye", [1, 2], group=2),
        shape("face", [30, 40], [10, 20], kind="rectangle", group=2),
        shape("left eye", [410, 290], group=1),
    )
    faces = read_faces(root)
    known = [[[410, 290], [400, 300.5]], [[1, 2], [np.nan, np.nan]]]
    assert faces.point_names == ["left eye", "nose"]
    assert np.array_equal(faces.points, known, equal_nan=True)
    assert np.array_equal(faces.boxes, [[np.nan] * 4, [9.5, 19.5, 29.5, 39.5]], equal_nan=True)
    assert read_faces(root, first_pixel=0.5).points[1, 0].tolist() == [0.5, 1.5]


@pytest.mark.parametrize(
    ("name", "image", "written"),
    [
        ("json/a.json", "photos/b.png", "..\\photos\\b.png"),
        ("json/a.json", "photos/a.png", "/home/ann/photos/a.png"),
        ("a.json", "a.png", "moved/a.png"),
    ],
)
def test_a_picture_lies_where_its_file_says_or_where_it_is_named_so(write, name, image, written):
    faces = read_faces(write(shape("nose", [1, 2]), name=name, image=image, written=written))
    assert [faces.name(row) for row in faces.rows] == [image]


def test_other_json_is_passed_over(write, tmp_path, caplog):
    root = write(shape("nose", [1, 2]))
    (tmp_path / "package.json").write_text('{"name": "faces"}')
    assert len(read_faces(root)) == 1 and "package.json" in caplog.text


@pytest.mark.parametrize(
    ("shapes", "named"),
    [
        ([shape("nose", [1])], ("shapes[0].points[0]",)),
        ([shape("nose", [1, "2"])], ("shapes[0].points[0]", "'2'")),
        ([shape("", [1, 2])], ("shapes[0]", "label")),
        ([shape("a", [1, 2]), shape("a", [3, 4])], ("shapes[1]", "'a'")),
        ([shape("face", [1, 2], [3, 4], kind="rectangle")], (1,)),
        ([7], ("shapes[0]", "'points'")),
        ([{**shape("a", [1, 2]), "group_id": [1]}], ("shapes[0]", "'[1]'")),
        (
            [{**shape("a", [1, 2], [3, 4], kind="rectangle"), "group_id": {}}],
            ("a.json, shapes[0]", "'{}'"),
        ),
    ],
)
def test_what_is_malformed_is_named(write, shapes, named):
    root = write(*shapes)
    with refused(root, *named):
        read_faces(root)
