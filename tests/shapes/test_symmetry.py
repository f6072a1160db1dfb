"""The flip permutation: found in real faces, checked when a layout names it, never guessed."""

from pathlib import Path

import numpy as np
import pytest

from landmarks.commands.preparing.choose_layout import choose_layout
from landmarks.data.tables.landmarks_csv import map_labels
from landmarks.shapes.symmetry import find_symmetry
from landmarks.synthetic import head

SHARED = Path(__file__).parents[3] / "shared/data"
ROUNDING = 0.3  # pixels, rms, that a label is off its place by being a whole number

needs_faces = pytest.mark.skipif(not SHARED.is_dir(), reason="the real faces are not here")


def standard(num_points):
    return choose_layout({"name": "auto"}, num_points).flip_permutation()


def real(name):
    return map_labels(SHARED / name / "train/landmarks.csv", None)[1]


def mirrored_distance(points, one, other):
    """Return by how many pixels, rms over faces, two partners of a mirrored point differ."""
    away = np.asarray(points[:, one] - points[:, other], np.float64)
    return np.sqrt(np.nanmean(away**2))


@needs_faces
def test_found_in_the_971_points():
    points, truth = real("faces971"), standard(971)
    found = find_symmetry(points)
    assert found.source == "data" and found.agreement >= 0.98 and found.residual < 0.1
    flip = found.flip
    assert np.array_equal(flip[flip], np.arange(971))
    wrong = np.flatnonzero(flip != truth)
    assert len(wrong) <= 0.01 * 971
    for k in wrong:  # a tie: the partner is, over all faces, where the true one is
        assert mirrored_distance(points, flip[k], truth[k]) < ROUNDING


@needs_faces
@pytest.mark.parametrize("faces", [1207, 70])
def test_found_in_the_68_points(faces):
    assert np.array_equal(find_symmetry(real("faces68")[:faces]).flip, standard(68))


@needs_faces
def test_found_in_any_order_and_with_labels_missing():
    points = np.array(real("faces68"))
    random = np.random.default_rng(0)
    order = random.permutation(68)
    points = points[:, order]
    points[random.random(points.shape[:2]) < 0.1] = np.nan
    expected = np.argsort(order)[standard(68)[order]]
    assert np.array_equal(find_symmetry(points).flip, expected)


@needs_faces
@pytest.mark.parametrize("count", [1206, 1207])
def test_a_layouts_permutation_is_checked(count):
    points = real("faces68")[:count]
    good = find_symmetry(points, standard(68))
    assert np.array_equal(good.flip, standard(68)) and good.source == "layout"
    turned = np.roll(np.arange(68), 1)
    for wrong, said in ((np.arange(68), "mean face"), (turned, "the layout pairs point")):
        found = find_symmetry(points, wrong)  # the labels' own pairs are taken
        assert np.array_equal(found.flip, standard(68)) and found.source == "data"
        assert said in found.reason
        few = find_symmetry(points, wrong, rows=np.arange(20))
        assert few.flip is None and said in few.reason and "68 are needed" in few.reason


def test_found_in_synthetic_faces():
    heads = [head.draw_head(np.random.default_rng(i)) for i in range(1000)]
    flat = [head.project(head.turn(sitter, head.shape_head(sitter))) for sitter in heads]
    points = np.rint(150 + 70 * np.array(flat)).astype(np.float32)
    found = find_symmetry(points)
    truth = standard(971)
    assert found.flip is not None and (found.flip == truth).mean() >= 0.99
    for k in np.flatnonzero(found.flip != truth):
        assert mirrored_distance(points, found.flip[k], truth[k]) < ROUNDING
    few = find_symmetry(points[:300])
    assert few.flip is None and "971 are needed" in few.reason


@pytest.mark.parametrize("copies", [2, 3])
def test_copies_of_faces_are_no_evidence(copies):
    heads = [head.draw_head(np.random.default_rng(i)) for i in range(80)]
    flat = [head.project(head.turn(sitter, head.shape_head(sitter))) for sitter in heads]
    truth = standard(971)
    some = np.unique([*range(0, 971, 40), *truth[::40]])
    points = np.rint(150 + 70 * np.array(flat)[:, some]).astype(np.float32)
    points[::7, 3] = np.nan
    whole, twice = find_symmetry(points), find_symmetry(np.concatenate([points] * copies))
    assert np.array_equal(whole.flip, np.searchsorted(some, truth[some]))
    assert twice.flip is not None and (twice.flip == whole.flip).all(), twice.reason
    assert twice.residual == whole.residual and twice.reason == whole.reason


def one_sided():
    """Return half faces: the left half of the 68 points."""
    half = [*range(8), *range(17, 22), *range(36, 42)]
    return real("faces68")[:, half]


@needs_faces
def test_half_a_face_has_no_mirror_image():
    assert find_symmetry(one_sided()).flip is None


@pytest.mark.parametrize("faces", [10, 300])
def test_points_without_structure_are_never_paired(faces):
    points = np.random.default_rng(0).uniform(0, 100, (faces, 12, 2)).astype(np.float32)
    found = find_symmetry(points)
    assert found.flip is None and found.reason
    if faces == 10:
        assert "50 are needed" in found.reason


@needs_faces
def test_a_sample_is_read_and_not_the_whole_file():
    points = real("faces68")
    one, again = (find_symmetry(points, max_faces=200, seed=3) for _ in range(2))
    assert np.array_equal(one.flip, standard(68)) and one.residual == again.residual
    assert "200 faces" in one.reason
