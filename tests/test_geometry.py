from typing import get_args

import cv2
import numpy as np
import pytest
import torch

from landmarks.data.crops.crop import averaging, crop_face, read_face
from landmarks.geometry import (
    Crop,
    box_matrix,
    compose,
    crop_matrix,
    invert,
    scale_matrix,
    transform,
)

CROPS = get_args(Crop)


@pytest.mark.parametrize(
    ("scale", "x", "moved"),
    [(2, -0.5, -0.5), (2, 0, 0.5), (2, 1, 2.5), (0.5, 0, -0.25), (0.5, 0.5, 0), (0.25, 1.5, 0)],
)
def test_resizing_keeps_the_corner_not_the_first_pixel(scale, x, moved):
    points = transform(scale_matrix(scale, 3 * scale), np.array([[x, 1.0]]))
    assert points.tolist() == [[moved, 1.5 * 3 * scale - 0.5]]


@pytest.mark.parametrize(
    ("crop", "width", "height", "first", "last"),
    [
        ("stretch", 200, 100, (-0.5, -0.5), (49.5, 49.5)),
        ("letterbox", 200, 100, (-0.5, 11.5), (49.5, 36.5)),
        ("letterbox", 100, 200, (11.5, -0.5), (36.5, 49.5)),
        ("letterbox", 25, 20, (-0.5, 4.5), (49.5, 44.5)),
        ("center", 200, 100, (-25.5, -0.5), (74.5, 49.5)),
        ("center", 50, 75, (-0.5, -13.5), (49.5, 61.5)),
    ],
)
def test_crop_matrix_by_hand(crop, width, height, first, last):
    edges = np.array([[-0.5, -0.5], [width - 0.5, height - 0.5]])
    moved = transform(crop_matrix(crop, width, height, 50), edges)
    assert moved == pytest.approx(np.array([first, last]), abs=1e-12)


@pytest.mark.parametrize("crop", CROPS)
def test_the_middle_stays_the_middle_to_half_a_pixel(crop):
    moved = transform(crop_matrix(crop, 173, 251, 64), np.array([[86.0, 125.0]]))
    assert moved == pytest.approx(np.array([[31.5, 31.5]]), abs=0.501)


def random_matrices(*shape):
    rng = np.random.default_rng(0)
    angle, scale = rng.uniform(-3, 3, shape), rng.uniform(0.05, 4, shape)
    matrix = np.empty((*shape, 2, 3))
    matrix[..., 0, 0] = matrix[..., 1, 1] = scale * np.cos(angle)
    matrix[..., 0, 1], matrix[..., 1, 0] = scale * np.sin(angle), -scale * np.sin(angle)
    matrix[..., 2] = rng.uniform(-500, 500, (*shape, 2))
    return matrix, rng.uniform(-100, 1700, (*shape, 7, 2))


def test_compose_and_its_inverse_lead_back():
    first, points = random_matrices(50)
    second = random_matrices(51)[0][1:]
    both = compose(second, first)
    assert transform(both, points) == pytest.approx(
        transform(second, transform(first, points)), abs=1e-9
    )
    assert np.abs(transform(invert(both), transform(both, points)) - points).max() < 1e-9
    assert compose(invert(both), both) == pytest.approx(np.tile(np.eye(2, 3), (50, 1, 1)), abs=1e-9)


def test_float32_tensors_lead_back_to_a_thousandth():
    matrices = np.stack([crop_matrix(crop, 690, 440, 128) for crop in CROPS])
    forward = torch.tensor(matrices, dtype=torch.float32)
    points = torch.tensor(np.random.default_rng(1).uniform(0, 690, (3, 20, 2))).float()
    back = invert(forward)
    assert back.dtype == torch.float32
    moved = transform(forward, points)
    assert moved.numpy() == pytest.approx(transform(matrices, points.double().numpy()), abs=1e-3)
    assert (transform(back, moved) - points).abs().max() < 1e-3


def test_batch_axes_and_nan():
    matrices, points = random_matrices(4, 3)
    points[1, 2, 5] = points[2, 0, 0] = np.nan
    moved = transform(matrices, points)
    inverse = invert(matrices)
    assert moved.shape == points.shape and inverse.shape == matrices.shape
    assert np.array_equal(np.isnan(moved), np.isnan(points))
    for i, j in np.ndindex(4, 3):
        one = transform(matrices[i, j], points[i, j])
        assert moved[i, j] == pytest.approx(one, abs=1e-9, nan_ok=True)
        assert inverse[i, j] == pytest.approx(invert(matrices[i, j]), rel=1e-12)
    shared = transform(matrices[0, 0], points)  # one matrix for many faces
    assert shared[3, 1] == pytest.approx(transform(matrices[0, 0], points[3, 1]), rel=1e-12)


@pytest.mark.parametrize("width", range(65, 700, 45))
def test_what_is_left_to_scale_is_above_a_half(width):
    columns, rows = averaging("letterbox", width, width // 2, 64)
    assert 0.5 < 64 * columns / width <= 17 / 16
    assert 0.5 < 64 * rows / width <= 17 / 16 + 0.05  # the short side's whole pixels


@pytest.mark.parametrize("from_file", [False, True])
@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize(
    ("width", "height"),
    [(64, 64), (40, 52), (90, 75), (131, 101), (127, 190), (333, 257), (641, 480)],
)
def test_a_painted_dot_lands_where_the_matrix_says(
    dot, centroid, crop, width, height, from_file, tmp_path
):
    """Also through a JPEG, which is decoded at a fraction of its size where it shrinks."""
    size = 64
    matrix = crop_matrix(crop, width, height, size)
    for target in ([20.3, 25.8], [44.0, 38.5]):
        x, y = transform(invert(matrix), np.array([target]))[0]
        image = dot(width, height, x, y, 2.5 / min(matrix[0, 0], matrix[1, 1]))
        out = np.zeros((size, size, 3), np.uint8)
        if from_file:
            path = str(tmp_path / "dot.jpg")
            cv2.imwrite(path, image, [cv2.IMWRITE_JPEG_QUALITY, 100])
            used = read_face(path, crop, out)
        else:
            used = crop_face(image, crop, out)
        landed = transform(used, np.array([[x, y]]))[0]
        assert landed == pytest.approx(target, abs=1)  # what is cut off to fill blocks moves it
        assert centroid(out[..., 0]) == pytest.approx(landed, abs=0.1)


@pytest.mark.parametrize("crop", [*CROPS, "box"])
@pytest.mark.parametrize("side", [100, 130, 190, 220, 350, 377, 700, 805])
def test_a_large_array_is_seen_as_its_jpeg(crop, side, tmp_path):
    """Of both as many pixels are averaged: to fewer an array would be scaled up and blurred."""
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    image = cv2.resize(picture, (side, side - side % 3), interpolation=cv2.INTER_AREA)
    if crop == "box":
        crop = box_matrix(np.array([3, 2, side - 9, side - 5]), 0.05, 32)
    path = str(tmp_path / "a.jpg")
    options = [cv2.IMWRITE_JPEG_QUALITY, 100, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]
    cv2.imwrite(path, image, options)
    of_file, of_array = np.zeros((2, 32, 32, 3), np.uint8)
    matrix = read_face(path, crop, of_file)
    assert (crop_face(image, crop, of_array) == matrix).all()
    assert np.abs(of_file.astype(int) - of_array).mean() < 1


def test_crop_face_turns_bgr_to_rgb_and_is_black_outside():
    image = np.full((40, 20, 3), (10, 20, 30), np.uint8)
    out = np.zeros((16, 16, 3), np.uint8)
    crop_face(image, "letterbox", out)
    assert out[8, 8].tolist() == [30, 20, 10]
    assert out[8, 1].tolist() == out[8, 14].tolist() == [0, 0, 0]


def test_shrinking_averages_every_pixel():
    image = np.random.default_rng(0).integers(0, 255, (256, 256, 1)).astype(np.uint8)
    out = np.zeros((32, 32, 3), np.uint8)
    crop_face(np.repeat(image, 3, axis=2), "stretch", out)
    means = image.reshape(32, 8, 32, 8).mean((1, 3))
    assert np.abs(out[..., 0] - means).max() <= 1


@pytest.mark.parametrize(("width", "height"), [(257, 301), (99, 127), (40, 33)])
def test_shrinking_keeps_the_brightness_up_to_the_edge(width, height):
    out = np.zeros((32, 32, 3), np.uint8)
    crop_face(np.full((height, width, 3), 200, np.uint8), "stretch", out)
    assert out.min() >= 199 and out.max() <= 200
