"""CVAT for images 1.1 as CVAT exports it."""

import cv2
import numpy as np
import pytest
from refusals import refused

from landmarks.data.formats.cvat import read_faces

FILE = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><name>faces</name><labels><label><name>nose</name></label></labels></task></meta>
  <image id="0" name="a.png" subset="Train" task_id="3" width="64" height="64">
    {}
  </image>
  <image id="1" name="b.png" width="64" height="64">
  </image>
</annotations>
"""
BOX = '<box label="face" occluded="0" xtl="{}" ytl="{}" xbr="{}" ybr="{}" z_order="0"/>'


def points(label, places, more=""):
    return (
        f'<points label="{label}" source="manual" occluded="0" points="{places}" {more}></points>'
    )


def skeleton(*inner, more=""):
    return f'<skeleton label="face" source="manual" {more}>{"".join(inner)}</skeleton>'


@pytest.fixture
def read(tmp_path):
    """Write a file with these shapes in its first image; return its faces."""

    def read(*shapes, part="train", **settings):
        for name in "ab":
            cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((64, 64, 3), 99, np.uint8))
        path = tmp_path / "t.xml"
        path.write_text(FILE.format("\n    ".join(shapes)))
        return read_faces(str(path), str(path), part=part, **settings)

    return read


def test_one_shape_may_be_a_face_s_points(read, caplog):
    faces = read(points("face", "1.5,2;3,4;5,6"), points("face", "11,12;13,14;15,16"))
    assert faces.points.tolist() == [[[1.5, 2], [3, 4], [5, 6]], [[11, 12], [13, 14], [15, 16]]]
    assert not faces.point_names and faces.boxes is None
    assert "Left out 1 of 3 faces" in caplog.text
    assert read(points("face", "1.5,2;3,4"), first_pixel=0.5).points[0, 0].tolist() == [1, 1.5]


def test_points_of_one_image_are_one_face_by_their_labels(read):
    faces = read(points("nose", "3,4"), points("left eye", "1,2"), points("jaw", "7,8;9,10"))
    assert faces.point_names == ["jaw_0", "jaw_1", "left eye", "nose"]
    assert faces.points.tolist() == [[[7, 8], [9, 10], [1, 2], [3, 4]]]
    test = read(points("nose", "3,4"), part="test")
    assert [test.name(row) for row in range(2)] == ["a.png", "b.png"] and test.num_points == 1


def test_skeletons_and_groups_are_faces_with_their_boxes(read):
    gone = points("2", "9,9", 'outside="1"')
    one = skeleton(points("2", "3,4"), points("1", "1,2"), more='group_id="7"')
    box = BOX.format(0, 0, 9, 9).replace("/>", ' group_id="7"/>')
    faces = read(one, skeleton(points("1", "31,32"), gone), box, BOX.format(30, 30, 60, 60))
    nowhere = [np.nan, np.nan]
    known = [[[1, 2], [3, 4]], [[31, 32], nowhere]]
    assert np.array_equal(faces.points, known, equal_nan=True)
    assert faces.boxes.tolist() == [[-0.5, -0.5, 8.5, 8.5], [29.5, 29.5, 59.5, 59.5]]


def test_occluded_points_are_told_apart(read):
    hidden = points("2", "3,4").replace('occluded="0"', 'occluded="1"')
    faces = read(skeleton(points("1", "1,2"), hidden), skeleton(points("1", "5,6")))
    assert faces.visible.tolist() == [[2, 1], [2, 0]]
    assert np.isnan(read(points("1", "1,2"), hidden, occluded="mask").points[0, 1]).all()


def test_points_of_two_faces_are_told_apart_by_boxes_alone(read):
    both = [points(label, at) for label, at in (("l", "1,2"), ("r", "3,4"))]
    both += [points(label, at) for label, at in (("l", "31,32"), ("r", "33,34"))]
    faces = read(*both, BOX.format(0, 0, 9, 9), BOX.format(30, 30, 60, 60))
    assert faces.points.tolist() == [[[1, 2], [3, 4]], [[31, 32], [33, 34]]]
    for some in (both, [*both, BOX.format(0, 0, 60, 60)]):
        with refused("t.xml, line 8", "'l'", "'a.png'"):
            read(*some)


@pytest.mark.parametrize(
    ("shape", "named"),
    [
        (points("face", "1,2;3"), ("line 6", "'face'", "'3'")),
        (points("face", "1,2;3,x"), ("line 6, 'face', y", "'x'")),
        (points("", "1,2"), ("line 6", "label")),
        (points("a", "1,2") + BOX.format(1, 2, 3, "?"), ("line 6, ybr", "'?'")),
        (points("a", "1,2;3,4") + points("a", "1,2"), ("line 6", "'a'", 1, 2)),
        (skeleton(points("1", "1,2"), points("1", "1,2")), ("'1'", "group")),
        ('<track id="0"/>', ("line 6", "video")),
        ("<points", ("line", "XML")),
        ("", (2,)),
    ],
)
def test_what_is_malformed_is_named(read, shape, named):
    with refused("t.xml", *named):
        read(shape)
