import dataclasses

import numpy as np
import pytest

from landmarks.synthetic import contours as c
from landmarks.synthetic.head import Head, draw_head, project, rotation, shape_head, turn


def layout_flip() -> np.ndarray:
    """The layout's flip permutation, written out by its ranges."""
    swaps = [(0, 64, 64), (273, 337, 64), (401, 464, 63), (587, 714, 127), (969, 970, 1)]
    reversals = [(128, 272), (841, 872), (873, 904), (905, 936), (937, 968)]
    flip = np.arange(971)
    for left, right, count in swaps:
        flip[left : left + count] = np.arange(right, right + count)
        flip[right : right + count] = np.arange(left, left + count)
    for first, last in reversals:
        flip[first : last + 1] = np.arange(last, first - 1, -1)
    return flip


def picture(head: Head) -> np.ndarray:
    return project(turn(head, shape_head(head)))


def test_flip_permutation_is_the_layouts():
    assert np.array_equal(c.FLIP, layout_flip())
    assert np.array_equal(c.FLIP[c.FLIP], np.arange(971))
    assert (np.arange(971) == c.FLIP).sum() == 61


def test_neutral_head_is_exactly_symmetric():
    points = shape_head(Head())
    assert np.array_equal(points[c.FLIP] * [-1, 1, 1], points)


@pytest.mark.parametrize("field", ["jaw_width", "smile", "mouth_open", "brows_up", "eyes_closed"])
def test_even_handed_traits_keep_the_symmetry(field):
    points = shape_head(dataclasses.replace(Head(), **{field: 0.8}))
    np.testing.assert_allclose(points[c.FLIP] * [-1, 1, 1], points, atol=1e-12)


def test_opposite_yaw_is_the_mirror_image():
    left, right = picture(Head(yaw=-20, pitch=7)), picture(Head(yaw=20, pitch=7))
    np.testing.assert_allclose(left[c.FLIP] * [-1, 1], right, atol=1e-12)


def test_turns_go_the_way_they_say():
    still = picture(Head())
    tip = 567
    assert picture(Head(yaw=20))[tip, 0] > still[tip, 0] + 0.1
    assert picture(Head(pitch=15))[tip, 1] > still[tip, 1] + 0.05
    corners = picture(Head(roll=10))[list(c.OUTER_CORNERS)]
    across = corners[1] - corners[0]
    assert np.degrees(np.arctan2(across[1], across[0])) == pytest.approx(10, abs=0.5)


def test_rotation_is_a_rotation():
    matrix = rotation(Head(yaw=25, pitch=-12, roll=8))
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1)


def test_drawn_poses_stay_within_their_limits_and_use_them():
    rng = np.random.default_rng(0)
    heads = [draw_head(rng) for _ in range(1000)]
    for field, limit in (("yaw", 30), ("pitch", 30), ("roll", 25)):
        values = np.array([getattr(head, field) for head in heads])
        assert np.abs(values).max() <= limit
        assert values.std() > 5


def test_expressions_move_what_they_name():
    still = shape_head(Head())
    gap = lambda p: p[953, 1] - p[889, 1]  # noqa: E731
    eye = lambda p: p[635, 1] - p[603, 1]  # noqa: E731
    wide, shut = shape_head(Head(mouth_open=1)), shape_head(Head(eyes_closed=1))
    assert gap(still) < 0.03 < 0.15 < gap(wide)
    assert wide[0, 1] > still[0, 1] + 0.1
    assert eye(still) > 0.05
    assert eye(shut) == pytest.approx(0, abs=1e-3)
    smile = shape_head(Head(smile=1))
    assert smile[841, 0] < still[841, 0] - 0.03
    assert smile[841, 1] < still[841, 1] - 0.02
    raised = shape_head(Head(brows_up=1))
    assert (raised[c.BROW_LEFT, 1] < still[c.BROW_LEFT, 1]).all()


def test_contours_run_as_the_layout_says():
    points = picture(Head())
    assert points[0, 1] > 1.1 and points[63, 1] < 0.3  # jaw: chin to ear
    assert points[128, 0] > 0.6 and points[272, 0] < -0.6  # forehead: right ear to left
    assert abs(points[128:273, 1].argmin() - 72) < 5
    assert points[285, 1] < points[325, 1]  # brow: upper edge first
    assert points[650, 0] < points[682, 0] < points[809, 0] < points[777, 0]
    assert points[527, 1] < points[567, 1] < points[586, 1]
    assert points[841, 0] < points[872, 0] and points[873, 0] > points[904, 0]
    # Closed loops end beside their start, open contours do not.
    for first, last in ((273, 336), (587, 649), (650, 713)):
        assert np.linalg.norm(points[first] - points[last]) < 0.03
    for first, last in ((0, 63), (128, 272), (401, 463), (841, 872)):
        assert np.linalg.norm(points[first] - points[last]) > 0.3


def test_points_along_a_contour_are_evenly_spaced():
    points = picture(Head())
    for region in (c.JAW_LEFT, c.FOREHEAD, c.NOSE_LEFT, c.LIP_LOWER_OUTER):
        steps = np.linalg.norm(np.diff(points[region], axis=0), axis=1)
        assert steps.max() < 3 * steps.min()
