"""The shape model: noise and mirroring stand out, rotation and size do not."""

from types import SimpleNamespace

import numpy as np
import pytest

from landmarks.health.robust_statistics import robust_z
from landmarks.health.shape_limits import MAX_OUT, MAX_PULL, noisy_limit, rest_limit
from landmarks.health.shape_model import fit_model
from landmarks.health.similarity_transforms import align
from landmarks.shapes.aligning import to_complex


def test_robust_z_is_not_moved_by_outliers():
    values = np.r_[np.random.default_rng(0).normal(5, 2, 2000), np.full(200, 1e6), np.nan]
    z = robust_z(values)
    assert np.std(z[:2000]) == pytest.approx(1, abs=0.15) and abs(np.median(z[:2000])) < 0.15
    assert np.isnan(z[-1]) and (robust_z(np.full(5, 3.0)) == 0).all()
    assert np.isnan(robust_z(np.array([np.nan]))).all()


def test_align_recovers_a_similarity_with_missing_points():
    rng = np.random.default_rng(0)
    mean = rng.normal(size=30) + 1j * rng.normal(size=30)
    shapes = np.stack([(3 + 4j) * mean + (7 - 2j), -2j * mean, mean])
    shapes[0, 3:9] = np.nan
    shapes[2, 4:] = np.nan
    scale, shift, distance = align(shapes, mean)
    assert scale[:2] == pytest.approx([3 + 4j, -2j]) and shift[:2] == pytest.approx([7 - 2j, 0])
    assert distance[:2] == pytest.approx([0, 0], abs=1e-6)
    assert np.isnan(scale[2]) and np.isnan(distance[2])  # four of 30 points


def test_faults_stand_out(synthetic):
    points = synthetic.points.copy()
    rng = np.random.default_rng(1)
    points[3] = points[3] + rng.normal(0, 3, points[3].shape)
    points[4, :, 0] = 100 - points[4, :, 0]  # mirrored, with the numbers unchanged
    turn = np.array([[0, -2], [2, 0]])
    points[5] = points[5] @ turn.T  # neither rotation nor size is a fault
    points[6, ::3] = np.nan
    fit = fit_model(points, np.arange(200)).fit(points)
    rough = robust_z(np.log(fit.roughness), 0.1)
    assert rough[3] > 6 and np.delete(rough, [3, 4]).max() < 5
    assert fit.mirrored.argmin() == 4 and fit.mirrored[4] < 0.5
    assert np.delete(fit.mirrored, 4).min() > 1
    assert fit.rest[5] < 3 * np.median(fit.rest)
    assert np.isfinite(fit.rest[6]) and rough[6] < 5
    face_size = np.sqrt(np.ptp(points[7], axis=0).prod())
    assert abs(fit.scale[7]) == pytest.approx(face_size, rel=0.2)


def test_no_outlier_explains_itself(synthetic):
    """A face of much noise is a mode of its own, unless it is kept out of the model."""
    points = synthetic.points.copy()
    points[10] += np.random.default_rng(0).normal(0, 12, points[10].shape)
    fit = fit_model(points, np.arange(200)).fit(points)
    assert fit.rest[10] > 5 * np.median(fit.rest)


@pytest.mark.parametrize("points", [np.zeros((20, 5, 2)), np.full((20, 5, 2), np.nan)])
def test_no_model_of_points_without_extent(points):
    assert fit_model(points.astype(np.float32), np.arange(20)) is None


def test_complex_keeps_what_is_missing():
    points = np.array([[[1, np.nan], [2, 3]]], np.float32)
    found = to_complex(points)
    assert np.isnan(found[0, 0]) and found[0, 1] == 2 + 3j


def heads(count, k, seed=0):
    """Faces (count, k, 2) of whole pixels: a head of k points that turns, nods and opens its mouth,
    moved, turned and scaled."""
    rng = np.random.default_rng(seed)
    head = np.random.default_rng(7).uniform(-1, 1, (k, 3)) * (50, 50, 20)
    yaw, nod = rng.normal(0, 0.1, (2, count))
    x = head[:, 0] * np.cos(yaw)[:, None] + head[:, 2] * np.sin(yaw)[:, None]
    y = head[:, 1] * np.cos(nod)[:, None] + head[:, 2] * np.sin(nod)[:, None]
    y = y + np.abs(rng.normal(0, 5, (count, 1))) * (head[:, 1] > 20)
    faces = np.stack([x, y], 2) + rng.normal(0, 0.5, (count, k, 2))
    return np.rint(faces * rng.uniform(0.8, 1.6, (count, 1, 1)) + rng.normal(120, 9, (count, 1, 2)))


def standing_out(points, faces=None):
    """Rows of `faces` that exceed a limit of the model of `points`."""
    model = fit_model(points, np.arange(len(points)))
    usual, fit = model.fit(points), model.fit(points if faces is None else faces)
    noisy = (fit.rest > rest_limit(usual)) | (fit.noisy > noisy_limit(usual))
    return np.flatnonzero((fit.out > MAX_OUT) | (fit.pull > MAX_PULL) | noisy)


@pytest.mark.parametrize("k", [5, 10, 15, 68])
def test_faults_stand_out_however_few_points_there_are(k):
    points = heads(400, k)
    assert len(standing_out(points)) <= 0.005 * len(points)
    rng = np.random.default_rng(1)
    points[5] += np.rint(rng.normal(0, 15, (k, 2)))
    points[60, k // 2] = 0  # a point thrown away
    points[200, [0, k - 1]] = points[200, [k - 1, 0]]
    found = standing_out(points)
    assert np.isin([5, 60, 200], found).all() and len(found) <= 3 + 0.005 * len(points)


def test_one_point_of_971_stands_out(synthetic):
    points = synthetic.points.copy()
    for row in range(0, 40):
        points[row, 24 * row + 5] = 0
    fit = fit_model(points, np.arange(200)).fit(points)
    assert (fit.pull[:40] > MAX_PULL).all() and (fit.alone[:40] > 0.5).all()
    assert fit.worst[:40].tolist() == list(range(5, 965, 24))
    assert fit.pull[40:].max() < MAX_PULL


@pytest.mark.parametrize("share", [0.02, 0.05])
def test_a_fault_that_many_faces_have_is_no_mode(share):
    points = heads(1000, 68)
    faulty = np.arange(int(1000 * share)) * 7
    left, right = np.arange(20, 25), np.arange(30, 35)
    points[faulty[:, None], np.r_[left, right]] = points[faulty[:, None], np.r_[right, left]]
    assert standing_out(points).tolist() == faulty.tolist()


@pytest.mark.parametrize("k", [5, 15, 68])
@pytest.mark.parametrize("missing", [0.3, 0.6])
def test_faces_do_not_stand_out_by_what_they_lack(k, missing):
    points, rng = heads(400, k, seed=2), np.random.default_rng(2)
    points[:200][rng.random((200, k)) < missing] = np.nan
    points[200:220, : k // 2] = np.nan  # a side unseen
    assert standing_out(points).tolist() == []
    points[[4, 210], k - 1] = 0
    assert k < 68 or standing_out(points).tolist() == [4, 210]


def test_half_of_what_is_called_noticeable_is_noticed():
    points = heads(400, 15)
    model = fit_model(points, np.arange(400))
    fit = model.fit(points)
    single, noise = model.noticed(MAX_OUT, MAX_PULL, rest_limit(fit), noisy_limit(fit))
    rng, size = np.random.default_rng(3), np.abs(fit.scale)[:, None, None]
    for times, few, many in ((0.3, 0, 0.1), (1, 0.2, 0.9), (3, 0.9, 1)):
        noisy = points + rng.normal(0, 1, points.shape) * noise * times * size
        assert few <= len(standing_out(points, noisy)) / 400 <= many
        moved, row, point = points.copy(), np.arange(400), rng.integers(0, 15, 400)
        moved[row, point, 0] += single[2 * point] * times * size[:, 0, 0]
        assert few <= len(standing_out(points, moved)) / 400 <= many


def varied_heads(count, k, seed=0):
    """Faces (count, k, 2) that vary in every direction, in some by 20 % of the face, in others by
    a half, as few points of real faces do."""
    rng = np.random.default_rng(seed)
    head = np.random.default_rng(7).uniform(-50, 50, 2 * k)
    modes = np.linalg.qr(np.random.default_rng(8).normal(size=(2 * k, 2 * k)))[0]
    spread = 100 * np.geomspace(0.005, 0.2, 2 * k)
    faces = head + rng.normal(0, 1, (count, 2 * k)) * spread @ modes.T
    return np.rint(faces.reshape(count, k, 2) + 150)


@pytest.mark.parametrize(("k", "least"), [(10, 0.8), (15, 0.9)])
def test_noise_stands_out_in_few_points(k, least):
    """What 30 modes leave over of few points is nothing; noise lies along the modes then."""
    points = varied_heads(1000, k)
    size = np.sqrt(np.ptp(points, axis=1).prod(1))
    rng = np.random.default_rng(3)
    planted = np.arange(0, 1000, 67)
    points[planted] += rng.normal(0, 0.04, (len(planted), k, 2)) * size[planted, None, None]
    found = standing_out(np.rint(points))
    assert np.isin(planted, found).mean() >= least
    assert len(np.setdiff1d(found, planted)) <= 5


def test_the_limit_of_noise_hardly_moves_with_the_faults_among_the_faces():
    usual = np.random.default_rng(0).lognormal(1, 0.3, 2000)
    spoiled = np.r_[usual[:1850], np.full(150, 1e4)]
    limits = [noisy_limit(SimpleNamespace(noisy=values)) for values in (usual, spoiled)]
    assert (usual > limits[0]).mean() < 0.005 and limits[1] < 1.3 * limits[0]
