"""A layout is believed where the labels lie as it says, however faces are turned or mirrored."""

from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from landmarks.commands.preparing.choose_layout import choose_layout, settle_layout, settle_pairs
from landmarks.data.faces import Faces
from landmarks.data.tables.landmarks_csv import map_labels
from landmarks.shapes.layout_fit import find_misplaced
from landmarks.shapes.symmetry import find_symmetry
from landmarks.synthetic import head

SHARED = Path(__file__).parents[3] / "shared/data"
AUTO = {"name": "auto"}
KINDS = [68, 98, 971]


@cache
def synthetic():
    heads = [head.draw_head(np.random.default_rng(i)) for i in range(60)]
    flat = [head.project(head.turn(sitter, head.shape_head(sitter))) for sitter in heads]
    return np.rint(150 + 70 * np.array(flat)).astype(np.float32)


@cache
def faces_of(num_points):
    """Return (n, K, 2) labelled faces; of 98 points made from real ones of 68."""
    if num_points == 971:
        return synthetic()
    if not SHARED.is_dir():
        pytest.skip("the real faces are not here")
    known = np.array(map_labels(SHARED / "faces68/train/landmarks.csv", None)[1][::10])
    return known if num_points == 68 else as_98(known)


def as_98(points):
    """Return the 98 points of faces of 68: those that both have, and others between these."""

    def between(at):
        low = np.floor(at).astype(int)
        high, share = np.minimum(low + 1, 67), (at - low)[:, None]
        return points[:, low] * (1 - share) + points[:, high] * share

    brow = np.array([0, 1, 2, 3, 4, 3.5, 2.5, 1.5, 0.5])
    eye = np.array([0, 1, 1.5, 2, 3, 4, 4.5, 5])
    parts = [np.linspace(0, 16, 33), 17 + brow, 22 + brow, 27 + np.arange(9)]
    parts += [36 + eye, 42 + eye, 48 + np.arange(20)]
    pupils = np.stack([points[:, a : a + 6].mean(1) for a in (36, 42)], axis=1)
    return np.concatenate([between(np.concatenate(parts)), pupils], axis=1).astype(np.float32)


def turned(points, degrees, mirror=False):
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points = points * [-1, 1] if mirror else points
    return (points @ turn + 300).astype(np.float32)


def settle(points, node=AUTO):
    faces = Faces(Path(), np.arange(len(points)).astype("S"), points, source="here")
    return settle_layout(node, faces, np.arange(len(points)), ~np.isnan(points).any(2).all(0))


def orders(num_points):
    """Return orders of the points, (K,): shuffled, turned round, and one that keeps the pairs."""
    random = np.random.default_rng(0)
    flip = choose_layout(AUTO, num_points).flip_permutation()
    left = np.flatnonzero(flip > np.arange(num_points))
    mixed, paired = random.permutation(left), np.arange(num_points)
    paired[left], paired[flip[left]] = mixed, flip[mixed]
    plain = np.arange(num_points)
    shuffled = random.permutation(num_points)
    return SimpleNamespace(
        shuffled=shuffled, rolled=np.roll(plain, 17), back=plain[::-1], paired=paired
    )


@pytest.mark.parametrize("num_points", KINDS)
@pytest.mark.parametrize("count", [1, 4, 60])
def test_the_right_order_is_believed(num_points, count, caplog):
    random = np.random.default_rng(1)
    points = faces_of(num_points)
    for degrees, mirror in ((0, False), (0, True), (90, False), (160, True)):
        some = turned(points[random.choice(len(points), count)], degrees, mirror)
        some[random.random(some.shape[:2]) < 0.2] = np.nan
        assert settle(some).name == choose_layout(AUTO, num_points).name
    assert "layout none" not in caplog.text


@pytest.mark.parametrize("num_points", KINDS)
@pytest.mark.parametrize("order", ["shuffled", "rolled", "back", "paired"])
def test_another_order_is_not(num_points, order, caplog):
    points = faces_of(num_points)[:, getattr(orders(num_points), order)]
    for some in (points[:1], points[:60], turned(points[:60], 50, mirror=True)):
        found = settle(some)
        assert (found.name, found.eyes, found.regions) == ("none", None, {})
    node = choose_layout(AUTO, num_points).to_dict()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 3 and all(f"{num_points} points" in it for it in said)
    assert all(f"layout {node['name']}" in it and "layout none" in it for it in said)
    assert settle(points, node).to_dict() == node and "layout=auto" in caplog.text


def test_another_orders_own_pairs_are_found():
    points, random = faces_of(68), orders(68)
    flip = choose_layout(AUTO, 68).flip_permutation()
    for order, source in ((random.shuffled, "data"), (random.paired, "layout")):
        some = points[:, order]
        found = find_symmetry(some, settle(some).flip_permutation())
        assert found.source == source
        assert np.array_equal(found.flip, np.argsort(order)[flip[order]])


def test_eyes_without_labels_normalise_nothing(caplog):
    points = faces_of(68).copy()
    points[:, 45] = np.nan
    found = settle(points)
    assert (found.name, found.nme_name, len(found.regions)) == ("ibug68", "box", 9)
    assert "points 36 and 45" in caplog.text


def test_points_shifted_by_one_are_told_by_their_pairs(caplog):
    """Each lies next to where the layout has it; half of them have the neighbour's partner."""
    flip = choose_layout(AUTO, 68).flip_permutation()
    points, order = faces_of(68), np.roll(np.arange(68), -1)
    some = points[:, order]
    named = settle(some)
    found = find_symmetry(some, named.flip_permutation()).flip
    assert np.array_equal(found, np.argsort(order)[flip[order]])
    assert settle_pairs(AUTO, named, found).name == "none"
    others = int((found != named.flip_permutation()).sum())
    (record,) = caplog.records
    assert f"{others} points" in record.getMessage() and "layout none" in record.getMessage()
    right = choose_layout(AUTO, 68)
    assert settle_pairs(AUTO, right, flip) is right and settle_pairs(AUTO, right, None) is right
    assert settle_pairs(right.to_dict(), named, found) is named  # the user has named it


def test_too_little_to_tell():
    layout = choose_layout(AUTO, 68)
    points = np.full((5, 68, 2), np.nan, np.float32)
    assert settle(points).name == layout.name and settle(points).nme_name == "box"
    points[:, 36:42] = np.random.default_rng(0).uniform(0, 100, (5, 6, 2))
    assert find_misplaced(points, np.arange(5), layout.spots()) == ""
    assert settle(np.zeros((2, 5, 2), np.float32)).name == "none"
