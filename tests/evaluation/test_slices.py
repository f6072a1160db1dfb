"""Slices: which faces are in them, and what their errors are."""

import cv2
import numpy as np
import pytest

from landmarks.commands.preparing.choose_layout import choose_layout
from landmarks.data.faces import Faces
from landmarks.evaluation import slices
from landmarks.evaluation.face_errors import FaceErrors
from landmarks.layout import Layout
from landmarks.synthetic.head import Head, draw_head, project, shape_head, turn


def errors_of(squared):
    count = len(squared)
    nothing = np.zeros(count)
    names, rows = np.array([b"a"] * count), np.arange(count)
    wide = np.ones((count, 2), np.float32)
    return FaceErrors(
        names, rows, squared, squared, nothing, nothing + 1, squared / 100, wide, wide, None
    )


def parts(labels, squared):
    found = slices.measure_slice("what", labels, errors_of(squared), np.arange(len(squared)))
    return {part["label"]: part for part in found["parts"]}


def test_quarters_hold_as_many_faces_and_their_errors():
    values = np.random.default_rng(0).permutation(np.arange(100.0))
    found = parts(slices.cut_evenly(values, " px"), values)
    assert [part["faces"] for part in found.values()] == [25, 25, 25, 25]
    assert next(iter(found)) == "0 to 25 px"
    assert [part["mse"] for part in found.values()] == [12, 37, 62, 87]
    first = next(iter(found.values()))
    assert first["mse_low"] < 12 < first["mse_high"] and first["nme"] == pytest.approx(0.12)


def test_unknown_values_come_last_and_unlabelled_faces_nowhere():
    values = np.array([1.0, 2, 3, 4, np.nan, 5])
    squared = np.array([1.0, 1, 1, np.nan, 7, 1])
    found = parts(slices.cut_evenly(values), squared)
    assert list(found)[-1] == "(unknown)" and found["(unknown)"]["mse"] == 7
    assert sum(part["faces"] for part in found.values()) == 5


def test_turns_and_edges():
    labels = slices.cut_turns(np.array([-100.0, -20, 0, 14.9, 16, 89]))
    found = parts(labels, np.arange(6.0))
    assert [part["faces"] for part in found.values()] == [1, 1, 2, 1, 1]
    outside = slices.cut_share_outside(np.array([0, 0.01, 0.3, np.nan]))
    assert outside.tolist() == ["none", "up to 5 %", "more than 5 %", "(unknown)"]


def test_a_column_of_numbers_is_cut_and_rare_texts_are_joined():
    assert len(set(slices.name_kinds([str(i) for i in range(40)]))) == 4
    names = slices.name_kinds(["a"] * 5 + [f"k{i}" for i in range(30)] + [""])
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
    looks = slices.measure_looks(faces, np.arange(3))
    assert looks.brightness[0] == pytest.approx(200) and looks.sharpness[0] < 1
    assert looks.sharpness[1] > 20 and looks.outside.tolist()[:2] == [0, 0.5]
    assert np.isnan([looks.brightness[2], looks.outside[2]]).all()


@pytest.fixture(scope="module")
def layout():
    return choose_layout({"name": "auto"}, 971)


def picture(*heads):
    """Points (n, 971, 2) of heads as a camera sees them, in pixels."""
    return np.stack([project(turn(head, shape_head(head))) for head in heads]) * 80 + 120


@pytest.mark.parametrize("name", ["yaw", "pitch", "roll"])
@pytest.mark.parametrize("degrees", [-25, 0, 25])
def test_one_angle_is_found_and_the_others_are_left(layout, name, degrees):
    found = slices.estimate_pose(picture(Head(**{name: degrees})), layout)[0]
    expected = [degrees * (name == other) for other in ("yaw", "pitch", "roll")]
    assert np.abs(found - expected).max() < 6


def test_angles_of_all_kinds_of_heads(layout):
    heads = [draw_head(np.random.default_rng(i)) for i in range(200)]
    found = slices.estimate_pose(picture(*heads), layout)
    wrong = np.abs(found - [[head.yaw, head.pitch, head.roll] for head in heads])
    assert wrong.mean(0).max() < 4 and np.quantile(wrong, 0.95, axis=0).max() < 8


def test_size_and_place_change_nothing_and_missing_points_little(layout):
    points = picture(Head(yaw=20, pitch=-10, roll=5))
    whole = slices.estimate_pose(points, layout)
    np.testing.assert_allclose(slices.estimate_pose(3 * points - 500, layout), whole, atol=1e-6)
    points[:, 128:273] = np.nan  # no forehead
    assert np.abs(slices.estimate_pose(points, layout) - whole).max() < 5
    points[:, :900] = np.nan
    assert np.isnan(slices.estimate_pose(points, layout)).all()


@pytest.mark.parametrize("count", [68, 98])
def test_other_layouts_have_poses(count):
    """A turned copy of a layout's own places, with depths of its own: the angle changes by it."""
    layout = choose_layout({"name": "auto"}, count)
    rng = np.random.default_rng(0)
    head = np.zeros((count, 3))
    for name, ((first, last), place) in layout.spots().items():
        depth = {"jaw": -0.3, "nose": 0.3, "lip": 0.2, "brow": 0.15}
        deep = next((z for part, z in depth.items() if name.startswith(part)), 0.05)
        head[first : last + 1] = [*place, deep]
    for point, x in zip(layout.eyes, (-0.5, 0.5), strict=True):
        head[point] = [x, 0, 0]
    head += rng.normal(0, 0.002, head.shape)
    turned = np.radians(20)
    side = head[:, 0] * np.cos(turned) + head[:, 2] * np.sin(turned)
    points = np.stack([np.stack([x, head[:, 1]], axis=1) for x in (head[:, 0], side)]) * 90
    yaw = slices.estimate_pose(points, layout)[:, 0]
    assert abs(yaw[0]) < 2 and yaw[1] == pytest.approx(20, abs=4)


def test_points_that_mean_nothing_have_no_pose():
    assert slices.estimate_pose(np.zeros((3, 5, 2)), Layout("none", 5)) is None
