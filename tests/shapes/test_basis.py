"""The basis of training shapes: it spans them, in input pixels, whatever faces are incomplete."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from landmarks.errors import UserError
from landmarks.shapes.basis import AT_ONCE, SAMPLE, shape_basis

K, N = 20, 3


class Shapes:
    """Faces of three modes of 8, 4 and 2 px a coordinate (rms), and 0.1 px of noise, in 128 px."""

    def __init__(self, count, seed=0):
        random = np.random.default_rng(seed)
        self.mean = random.uniform(20, 100, 2 * K)
        self.modes = np.linalg.qr(random.standard_normal((2 * K, N)))[0].T
        self.spread = np.sqrt(2 * K) * np.array([8.0, 4.0, 2.0])
        weights = random.standard_normal((count, N)) * self.spread
        noise = 0.1 * random.standard_normal((count, 2 * K))
        faces = self.mean + weights @ self.modes + noise
        self.points = torch.tensor(faces.reshape(count, K, 2), dtype=torch.float32)
        self.asked, self.size = [], 128

    def __getitems__(self, rows):
        self.asked.append(rows)
        return SimpleNamespace(points=self.points[rows])


def test_mean_modes_and_what_they_leave_are_found():
    shapes = Shapes(4000)
    found = shape_basis(shapes, np.arange(4000), N)
    assert found.mean.dtype == found.modes.dtype == np.float32
    assert found.mean.reshape(-1) == pytest.approx(shapes.mean, abs=1.0)
    flat = found.modes.reshape(N, -1)
    lengths = np.linalg.norm(flat, axis=1)
    assert lengths == pytest.approx(shapes.spread, rel=0.05)
    same = np.abs(flat @ shapes.modes.T) / lengths[:, None]
    assert same == pytest.approx(np.eye(N), abs=0.1)
    assert found.rest == pytest.approx(0.1, rel=0.1)


def test_the_coefficients_of_the_faces_have_a_standard_deviation_of_one():
    shapes = Shapes(500)
    found = shape_basis(shapes, np.arange(500), N)
    flat = found.modes.reshape(N, -1)
    offsets = shapes.points.numpy().reshape(500, -1) - found.mean.reshape(-1)
    coefficients = offsets @ np.linalg.pinv(flat)
    assert coefficients.std(0) == pytest.approx(1, rel=1e-3)


def test_faces_with_a_missing_point_are_left_out():
    shapes = Shapes(60)
    whole = shape_basis(shapes, np.arange(20, 60), N)
    shapes.points[:20, 3] = torch.nan
    found = shape_basis(shapes, np.arange(60), N)
    assert np.array_equal(found.modes, whole.modes) and np.array_equal(found.mean, whole.mean)


def test_only_rows_are_asked_and_few_at_a_time():
    shapes = Shapes(2 * SAMPLE)
    rows = np.arange(1, 2 * SAMPLE, 2)[: SAMPLE + 10]
    shape_basis(shapes, rows, N)
    asked = [row for part in shapes.asked for row in part]
    assert len(asked) == SAMPLE and set(asked) <= set(rows.tolist())
    assert max(map(len, shapes.asked)) == AT_ONCE


def test_faces_are_taken_as_augmentation_moves_them():
    def turn(points, step):
        return points.flip(2) + step

    shapes = Shapes(AT_ONCE + 44)
    plain = shape_basis(shapes, np.arange(300), N)
    turned = shape_basis(shapes, np.arange(300), N, turn)
    assert turned.mean == pytest.approx(plain.mean[:, ::-1] + 44 / 300, abs=1e-3)


@pytest.mark.parametrize(
    ("count", "components", "sentence"),
    [
        (10, 10, "10 training faces .*: set model.components=9 or less, or use"),
        (100, 2 * K + 1, f"set model.components={2 * K} or less"),
        (1, 1, "1 training faces .* can show: use model.basis=none"),
    ],
)
def test_too_many_components_are_refused(count, components, sentence):
    with pytest.raises(UserError, match=sentence):
        shape_basis(Shapes(count), np.arange(count), components)


@pytest.mark.parametrize("value", [99999.0, -999.0])
def test_a_label_far_beside_the_input_leaves_its_face_out(value):
    shapes = Shapes(300)
    expected = shape_basis(shapes, np.arange(1, 300), N)
    shapes.points[0, 5, 1] = value
    found = shape_basis(shapes, np.arange(300), N)
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
