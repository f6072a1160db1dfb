"""Noise in few points is seen in the picture, though their shape allows it."""

import cv2
import numpy as np
import pytest

from landmarks.health.face_cuts import Cutter, describe_own
from landmarks.health.point_noise import NoiseFinder, find_contours, turning_angles
from landmarks.health.robust_statistics import robust_distances
from landmarks.health.shape_model import fit_model
from landmarks.shapes.aligning import to_complex

COUNT, SIZE = 80, 60  # faces; pixels of one
PLACES = np.array([[30, 40], [90, 40], [60, 65], [40, 90], [80, 90]])


@pytest.fixture(scope="module")
def judged():
    """Faces of one look with rough labels, a model of these, and a finder that has learned."""
    rng = np.random.default_rng(0)
    picture = cv2.GaussianBlur(rng.normal(128, 500, (130, 120)), None, 4)
    shapes = to_complex(PLACES + rng.normal(0, 3, (COUNT, 5, 2)))
    images = []
    for shape in shapes:  # of a face bent as its points are
        x, y = np.meshgrid(np.arange(120.0), np.arange(130.0))
        near = np.abs((x + 1j * y)[..., None] - shape) ** 2
        weight = np.exp(-near / 300)
        bend = (weight * (to_complex(PLACES) - shape)).sum(2) / (weight.sum(2) + 0.01)
        maps = (x + bend.real).astype(np.float32), (y + bend.imag).astype(np.float32)
        image = cv2.remap(picture, *maps, cv2.INTER_LINEAR) + rng.normal(0, 4, picture.shape)
        images.append((image.clip(0, 255).astype(np.uint8), 1))
    points = np.stack([shapes.real, shapes.imag], 2).astype(np.float32)
    model = fit_model(points, np.arange(COUNT))
    finder = NoiseFinder(COUNT, Cutter(model))
    finder.learn(*finder.look(np.arange(COUNT), images, shapes))
    finder.solve()

    def judge(labels):
        features = describe_own(finder.cutter.place(images, labels))
        return finder.judge(np.arange(COUNT), features, labels)

    return shapes, judge


def test_points_are_told_how_far_they_lie_beside_their_places(judged):
    shapes, judge = judged
    noise = np.random.default_rng(1).normal(0, 0.06 * SIZE, (COUNT, 5, 2)) @ (1, 1j)
    good, bad = judge(shapes).offsets, judge(shapes + noise).offsets
    moved = (noise - noise.mean(1, keepdims=True)).view(float)
    assert np.corrcoef(bad.ravel(), moved.ravel())[0, 1] > 0.8
    assert (bad**2).mean() > 4 * (good**2).mean()


def test_cuts_by_noisy_labels_are_told_from_the_faces_own(judged):
    shapes, judge = judged
    noise = np.random.default_rng(1).normal(0, 0.06 * SIZE, (COUNT, 5, 2)) @ (1, 1j)
    good, bad = judge(shapes).noisy, judge(shapes + noise).noisy
    assert bad.mean() > good.mean() + 0.3
    assert (bad > np.quantile(good, 0.9)).mean() > 0.8


def test_faces_with_missing_points_are_not_judged(judged):
    shapes, judge = judged
    labels = shapes.copy()
    labels[7, 2] = np.nan
    for said in judge(labels):
        assert np.isnan(said[7]).all() and np.isfinite(np.delete(said, 7, 0)).all()


def test_a_shift_of_all_points_is_no_noise(judged):
    shapes, judge = judged
    said = judge(shapes + 0.1 * SIZE).offsets.reshape(COUNT, 5, 2)
    assert np.abs(said.mean(1)).max() < 1e-6


def test_robust_distances_are_not_moved_by_outliers():
    rng = np.random.default_rng(0)
    values = rng.normal(0, (1, 10), (1000, 2)) @ ((1, 0.5), (0, 1))
    values[:50] += 100
    found = robust_distances(values)
    assert found[:50].min() > found[50:].max()
    assert (
        1.5 < np.median(found[50:]) < 2.5
    )  # 1.39 of the whole, 1.2 times as many of a trimmed one
    values[3] = np.nan
    assert np.isnan(robust_distances(values)[3])
    assert np.isnan(robust_distances(values[:15])).all()


def arc(count, radius=100.0):
    angle = np.linspace(0, np.pi / 2, count)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)[None]


def test_an_arc_turns_by_its_angle_a_step():
    assert turning_angles(arc(10), [np.arange(10)]) == pytest.approx(10.0)


def test_noise_turns_more():
    noisy = arc(30) + np.random.default_rng(0).normal(0, 4, (1, 30, 2))
    assert turning_angles(noisy, [np.arange(30)]) > 70


def test_jaws_are_thinned_where_rounding_would_turn_them():
    points = np.repeat(arc(64, 60.0), 3, axis=0)
    (dense,) = find_contours({"jaw_left": [0, 63], "nose": [3, 40], "jaw_tip": [0, 4]}, points)
    assert dense.tolist() == list(range(0, 64, 3))
    assert turning_angles(np.rint(points), [dense]).max() < 20
    (spread,) = find_contours({"jaw": [0, 16]}, np.repeat(arc(17), 2, axis=0))
    assert spread.tolist() == list(range(17))


def test_missing_points_are_left_out():
    points = arc(10)
    points[:, 5] = np.nan
    assert turning_angles(points, [np.arange(10)]) == pytest.approx(10.0)
    assert np.isnan(turning_angles(np.full((2, 10, 2), np.nan), [np.arange(10)])).all()
    assert np.isnan(turning_angles(points, [])).all()
