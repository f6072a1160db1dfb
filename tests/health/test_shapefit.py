"""The shape model: noise and mirroring stand out, rotation and size do not."""

import numpy as np
import pytest

from landmarks.health.robust import robust_z
from landmarks.health.shapefit import align, fit_model, to_complex


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
    assert distance[:2] == pytest.approx([0, 0], abs=1e-9)
    assert np.isnan(scale[2]) and np.isnan(distance[2])  # four of 30 points


def test_faults_stand_out(embedded):
    points = embedded.points.copy()
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
    assert fit.residual[5] < 3 * np.median(fit.residual)
    assert np.isfinite(fit.residual[6]) and rough[6] < 5
    face_size = np.sqrt(np.ptp(points[7], axis=0).prod())
    assert abs(fit.scale[7]) == pytest.approx(face_size, rel=0.2)


def test_no_outlier_explains_itself(embedded):
    """A face of much noise is a mode of its own, unless it is kept out of the model."""
    points = embedded.points.copy()
    points[10] += np.random.default_rng(0).normal(0, 12, points[10].shape)
    fit = fit_model(points, np.arange(200)).fit(points)
    assert fit.residual[10] > 5 * np.median(fit.residual)


@pytest.mark.parametrize("points", [np.zeros((20, 5, 2)), np.full((20, 5, 2), np.nan)])
def test_no_model_of_points_without_extent(points):
    assert fit_model(points.astype(np.float32), np.arange(20)) is None


def test_complex_keeps_what_is_missing():
    points = np.array([[[1, np.nan], [2, 3]]], np.float32)
    found = to_complex(points)
    assert np.isnan(found[0, 0]) and found[0, 1] == 2 + 3j
