"""Whole photos in one torch module: the crop's pixels and the model's points, of any size."""

import platform

import cv2
import numpy as np
import pytest
import torch

from landmarks.data.crops.crop import crop_face, read_face, read_reduced
from landmarks.data.images.images_from_python import gather_faces
from landmarks.errors import UserError
from landmarks.export.assemble_export import assemble
from landmarks.export.exporters import solve
from landmarks.export.photo_model import place_boxes, place_whole, sample
from landmarks.geometry import box_matrix, compose, invert, scale_matrix
from landmarks.inference.finder_protocol import Framing
from landmarks.inference.open_model import open_finder

SIZE = 48
SIDES = [(60, 80), (97, 64), (33, 120), (300, 211), (16, 16), (48, 48), (700, 500), (5, 90)]


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (height, width, 3)).astype(np.uint8) for width, height in SIDES]


def lengths_of(image):
    return tuple(torch.tensor(float(n), dtype=torch.float64) for n in image.shape[1::-1])


def check(image, axes, matrix, expected, is_resized):
    found = sample(torch.from_numpy(image[None, ..., ::-1].copy()), *axes, is_resized)
    apart = np.abs(found[0].permute(1, 2, 0).numpy() - expected)
    if is_resized and platform.machine() == "x86_64":  # elsewhere OpenCV has code of its own
        assert apart.max() == 0
    assert apart.max() <= 1 and (apart > 0).mean() < 0.02
    back = invert(matrix)
    for axis, places in enumerate(axes):
        assert places.scale.item() == pytest.approx(back[axis, axis], rel=1e-9)
        assert places.shift.item() == pytest.approx(back[axis, 2], abs=1e-9)


@pytest.mark.parametrize("crop", ["letterbox", "stretch", "center"])
def test_whole_crops_have_the_pixels_and_the_matrix_of_training(images, crop):
    for image in images:
        expected = np.zeros((SIZE, SIZE, 3), np.uint8)
        matrix = crop_face(image, crop, expected)
        axes = [place_whole(crop, lengths_of(image), axis, SIZE) for axis in (0, 1)]
        check(image, axes, matrix, expected, True)


@pytest.mark.parametrize("crop", ["letterbox", "stretch", "center"])
def test_a_reduced_photo_has_the_pixels_of_training(tmp_path, crop):
    """What a file is given of a JPEG that was reduced in decoding, it takes for the original."""
    rng = np.random.default_rng(0)
    path, reductions = str(tmp_path / "a.jpg"), set()
    large = rng.integers(600, 2200, (12, 2))  # of some, what is left is averaged before the file
    for width, height in [
        (212, 239),
        (199, 240),
        (1200, 900),
        *large,
        *rng.integers(60, 300, (40, 2)),
    ]:
        picture = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
        cv2.imwrite(path, cv2.resize(picture, (int(width), int(height))))
        expected, found, whole = np.zeros((3, SIZE, SIZE, 3), np.uint8)
        matrix = read_face(path, crop, expected)
        image, reduced = read_reduced(path, crop, SIZE)
        reductions.add(max(reduced))
        of_reduced = crop_face(image, crop, found)
        # Some are given whole, where all is averaged from pixels that the decoder has rounded.
        apart = np.abs(found.astype(int) - expected)
        assert apart.max() == 0 or (reduced == (1, 1) and apart.mean() < 0.5)
        back = scale_matrix(1 / reduced[0], 1 / reduced[1])
        assert compose(of_reduced, back) == pytest.approx(matrix, abs=1e-9)
        assert crop_face(cv2.imread(path), crop, whole) == pytest.approx(matrix, abs=1e-9)
        assert np.abs(whole.astype(int) - expected).mean() < 2
    assert {1, 2, 4, 8} < reductions


def test_boxes_have_the_pixels_and_the_matrix_of_training(images):
    rng = np.random.default_rng(1)
    for image in images:
        height, width = image.shape[:2]
        corner = rng.uniform(-0.2, 0.5, 2) * (width, height)
        box = np.hstack([corner, corner + rng.uniform(0.4, 1, 2) * (width, height)])
        expected, matrix = np.zeros((SIZE, SIZE, 3), np.uint8), box_matrix(box, 0.1, SIZE)
        crop_face(image, matrix, expected)
        boxes = torch.tensor(box)[None]
        axes = [place_boxes(boxes, 0.1, lengths_of(image), axis, SIZE) for axis in (0, 1)]
        check(image, axes, matrix, expected, False)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("resnet18", {"flip_test": True}),
        ("unet_resnet18", {"crop": "center", "flip_test": True}),
        ("classic_unet", {"crop": "stretch"}),
        ("resnet18", {"crop": "box", "box_margin": 0.2}),
    ],
)
def test_points_are_the_predictor_s(run_of, photos, name, settings):
    finder = open_finder(run_of(name, settings=settings), device="cpu", amp="off")
    compare(finder, photos, settings.get("crop") == "box", "unet" not in name)


def test_an_ensemble_s_points_are_its_own(run_of, photos):
    runs = [run_of("unet_resnet18", 1, unlabelled=[2]), run_of(seed=2, unlabelled=[1, 2])]
    for how in ("mean", "weighted"):
        finder = open_finder(runs, ensemble=how, device="cpu", amp="off")
        compare(finder, photos, sharp=False)
    three = [run_of(seed=seed) for seed in (1, 2, 3)]
    compare(open_finder(three, ensemble="median", device="cpu", amp="off"), photos)


def compare(finder, photos, boxed=False, sharp=True):
    boxes = None
    if boxed:
        boxes = np.float32([[1, 2, photo.shape[1] - 3, photo.shape[0] / 2] for photo in photos])
    faces = gather_faces(photos, channels="bgr", boxes=boxes)
    framing = Framing(batch_size=len(photos), workers=0)
    (found,) = finder.predict(finder.batches(faces, framing))
    module = assemble(finder).eval()
    found[1][:, finder.unlabelled] = np.nan
    for i, photo in enumerate(photos):
        given = [torch.from_numpy(photo[None, ..., ::-1].copy())]
        given += [torch.from_numpy(boxes[i : i + 1])] if boxed else []
        with torch.no_grad():
            points, sure = module(*given)
        # Heatmaps of random weights are nearly flat: a level of one pixel moves their peaks.
        apart = np.abs(points[0].numpy() - found[1][i])
        assert np.array_equal(np.isnan(apart), np.isnan(found[1][i]))
        assert np.nanmedian(apart) < 0.02 and np.nanmax(apart) < (0.05 if sharp else 1)
        known = np.isfinite(found[2][i])
        known[finder.unlabelled] = False
        atol = 0.02 if sharp else 0.5
        np.testing.assert_allclose(sure[0].numpy()[known], found[2][i][known], atol=atol)


def test_small_systems_are_solved_as_by_torch():
    torch.manual_seed(0)
    matrix, vector = torch.randn(7, 5, 6, 6), torch.randn(7, 5, 6)
    matrix = matrix @ matrix.mT + 0.1 * torch.eye(6)
    expected = torch.linalg.solve_ex(matrix, vector)[0]
    torch.testing.assert_close(solve(matrix, vector)[0], expected, rtol=1e-3, atol=1e-3)


def test_a_keypoint_rcnn_is_refused(run_of):
    finder = open_finder(run_of("keypoint_rcnn", size=64), device="cpu", amp="off")
    with pytest.raises(UserError, match="keypoint_rcnn"):
        assemble(finder)
