"""Poses of heads that were turned by known angles."""

import numpy as np
import pytest

from landmarks.commands.preparing.choose_layout import choose_layout
from landmarks.evaluation.pose import estimate_pose
from landmarks.layout import Layout
from landmarks.synthetic.head import Head, draw_head, project, shape_head, turn


@pytest.fixture(scope="module")
def layout():
    return choose_layout({"name": "auto"}, 971)


def picture(*heads):
    """Points (n, 971, 2) of heads as a camera sees them, in pixels."""
    return np.stack([project(turn(head, shape_head(head))) for head in heads]) * 80 + 120


@pytest.mark.parametrize("name", ["yaw", "pitch", "roll"])
@pytest.mark.parametrize("degrees", [-25, 0, 25])
def test_one_angle_is_found_and_the_others_are_left(layout, name, degrees):
    found = estimate_pose(picture(Head(**{name: degrees})), layout)[0]
    expected = [degrees * (name == other) for other in ("yaw", "pitch", "roll")]
    assert np.abs(found - expected).max() < 6


def test_angles_of_all_kinds_of_heads(layout):
    heads = [draw_head(np.random.default_rng(i)) for i in range(200)]
    found = estimate_pose(picture(*heads), layout)
    wrong = np.abs(found - [[head.yaw, head.pitch, head.roll] for head in heads])
    assert wrong.mean(0).max() < 4 and np.quantile(wrong, 0.95, axis=0).max() < 8


def test_size_and_place_change_nothing_and_missing_points_little(layout):
    points = picture(Head(yaw=20, pitch=-10, roll=5))
    whole = estimate_pose(points, layout)
    np.testing.assert_allclose(estimate_pose(3 * points - 500, layout), whole, atol=1e-6)
    points[:, 128:273] = np.nan  # no forehead
    assert np.abs(estimate_pose(points, layout) - whole).max() < 5
    points[:, :900] = np.nan
    assert np.isnan(estimate_pose(points, layout)).all()


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
    yaw = estimate_pose(points, layout)[:, 0]
    assert abs(yaw[0]) < 2 and yaw[1] == pytest.approx(20, abs=4)


def test_points_that_mean_nothing_have_no_pose():
    assert estimate_pose(np.zeros((3, 5, 2)), Layout("none", 5)) is None
