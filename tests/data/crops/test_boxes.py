"""crop=box: where the pixels of a face's box land, and that its points go with them."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from refusals import refused

from landmarks.data.batches.cropped_faces import CroppedFaces
from landmarks.data.batches.loader import Batches, mean_points
from landmarks.data.crops.boxes import frame_faces, point_boxes
from landmarks.data.crops.crop import crop_face, read_face
from landmarks.data.faces import Faces
from landmarks.geometry import BoxCrop, box_matrix, invert, transform

SIZE = 64


def test_the_matrix_by_hand():
    """A box around the pixels 10 to 29 and 20 to 59: side 40, a quarter more at each side: 60."""
    box = np.array([9.5, 19.5, 29.5, 59.5], np.float32)
    matrix = box_matrix(box, 0.25, 30)
    corners = np.array([[-10.5, 9.5], [49.5, 69.5], [19.5, 39.5]])
    assert transform(matrix, corners).tolist() == [[-0.5, -0.5], [29.5, 29.5], [14.5, 14.5]]


@pytest.mark.parametrize("ending", [None, "png", "jpg"])
@pytest.mark.parametrize("width", [30, 47.3, 64, 100.7, 190.2, 333, 700])
def test_a_painted_dot_lands_where_the_matrix_says(dot, centroid, width, ending, tmp_path):
    """Also through a JPEG, which is decoded at a fraction of its size where it shrinks."""
    box = np.array([130.3, 81.7, 130.3 + width, 81.7 + width / 2], np.float32)
    matrix = box_matrix(box, 0.25, SIZE)
    for target in ([30.3, 29.8], [39.0, 35.5]):
        x, y = transform(invert(matrix), np.array([target]))[0]
        image = dot(1001, 603, x, y, 2.5 / matrix[0, 0])
        out = np.zeros((SIZE, SIZE, 3), np.uint8)
        if ending:
            path = str(tmp_path / f"dot.{ending}")
            cv2.imwrite(path, image, [cv2.IMWRITE_JPEG_QUALITY, 100])
            used = read_face(path, matrix, out)
        else:
            used = crop_face(image, matrix, out)
        assert used is matrix  # exact: no whole pixels
        assert centroid(out[..., 0]) == pytest.approx(target, abs=0.1)


@pytest.mark.parametrize("side", [20, 64, 150, 500])
def test_outside_the_image_is_black_and_inside_is_whole(side):
    image = np.full((90, 120, 3), (10, 20, 30), np.uint8)
    out = np.zeros((SIZE, SIZE, 3), np.uint8)
    matrix = box_matrix(np.array([-side, -side, side, side]) - 0.5, 0.0, SIZE)
    crop_face(image, matrix, out)
    corner = SIZE // 2  # the image's, in the square's middle
    assert out[corner + 2, corner + 2].tolist() == [30, 20, 10]
    assert not out[: corner - 1].any() and not out[:, : corner - 1].any()
    far = np.zeros((SIZE, SIZE, 3), np.uint8)
    crop_face(image, box_matrix(np.array([500, 500, 500 + side, 500 + side]), 0.25, SIZE), far)
    assert not far.any()


def test_shrinking_averages_every_pixel():
    image = np.random.default_rng(0).integers(0, 255, (512, 512, 1)).astype(np.uint8)
    out = np.zeros((32, 32, 3), np.uint8)
    matrix = box_matrix(np.array([127.5, 127.5, 383.5, 383.5]), 0.0, 32)
    crop_face(np.repeat(image, 3, axis=2), matrix, out)
    means = image[128:384, 128:384].reshape(32, 8, 32, 8).mean((1, 3))
    assert np.abs(out[..., 0] - means).max() <= 1


@pytest.fixture
def faces(tmp_path):
    """Two faces in one image, with dots at their points."""
    image = np.full((200, 300, 3), 40, np.uint8)
    points = np.array([[[50, 60], [90, 100], [70, 120]], [[200, 30], [260, 70], [230, 50]]])
    for x, y in points.reshape(-1, 2).tolist():
        cv2.circle(image, (x, y), 5, (240, 240, 240), -1)
    cv2.imwrite(str(tmp_path / "two.png"), image)
    boxes = np.array([[40, 50, 100, 130], [190, 20, 270, 80]], np.float32)
    names = np.array([b"two.png"] * 2)
    return Faces(tmp_path, names, points.astype(np.float32), boxes=boxes, source="two")


@pytest.mark.parametrize("box_from", ["data", "points"])
def test_each_face_is_cropped_by_its_own_box(faces, box_from):
    framed, crop = frame_faces(faces, "box", 0.3, box_from)
    assert crop == BoxCrop(0.3)
    (batch,) = Batches(CroppedFaces(framed, crop, SIZE), np.arange(2), batch_size=2)
    back = transform(batch.to_image, batch.points)
    assert np.abs(back.numpy() - faces.points).max() < 1e-3
    for image, points in zip(batch.images, batch.points.round().long(), strict=True):
        for x, y in points.tolist():
            assert image[:, y, x].min() > 200
        assert (image[0] > 200).float().mean() < 0.2
    mean = mean_points(CroppedFaces(framed, crop, SIZE), np.arange(2))
    assert mean == pytest.approx(batch.points.numpy().mean(0), abs=1e-4)


def test_other_crops_ask_for_no_box(faces):
    bare = replace(faces, boxes=None)
    assert frame_faces(bare, "letterbox", 0.25) == (bare, "letterbox")


def test_a_bare_name_does_not_reach_the_loader(faces):
    with pytest.raises(ValueError, match="frame_faces"):
        CroppedFaces(faces, "box", SIZE)


def test_without_boxes_one_sentence(faces):
    with refused("two", "box_from=points"):
        frame_faces(replace(faces, boxes=None), "box", 0.25)


@pytest.mark.parametrize("box", [[np.nan] * 4, [5, 5, 5, 5], [9, 0, 2, 7]])
def test_a_box_without_size_is_named_or_left_out(faces, box, caplog):
    boxes = faces.boxes.copy()
    boxes[1] = box
    some = replace(faces, boxes=boxes)
    with refused("1 face", "two", "'two.png' (face 2)"):
        frame_faces(some, "box", 0.25)
    framed, crop = frame_faces(some, "box", 0.25, leave_out=True)
    assert framed.rows.tolist() == [0] and "'two.png' (face 2) first" in caplog.text
    unused = replace(some, rows=np.array([0]))  # it is excluded: nobody asks for its box
    assert frame_faces(unused, "box", 0.25) == (unused, BoxCrop(0.25))
    with refused("every face", "two"):
        frame_faces(replace(some, rows=np.array([1])), "box", 0.25, leave_out=True)
    batch = CroppedFaces(framed, crop, SIZE).__getitems__([0, 1])
    assert batch.readable.tolist() == [True, False] and not batch.images[1].any()


def test_images_of_several_faces_ask_for_boxes(faces, caplog):
    frame_faces(replace(faces, rows=np.array([1])), "letterbox", 0.25)
    assert not caplog.text
    frame_faces(faces, "letterbox", 0.25)
    assert "shown in 1 of 1 image of two" in caplog.text
    caplog.clear()
    frame_faces(replace(faces, sets=np.array([0, 1], np.uint8)), "letterbox", 0.25)
    assert not caplog.text  # two sets label one face


def test_boxes_of_points_leave_out_faces_without_them(faces, caplog):
    points = faces.points.copy()
    points[0, 1:] = np.nan
    some = replace(faces, points=points)
    framed, _ = frame_faces(some, "box", 0.25, "points", leave_out=True)
    assert framed.rows.tolist() == [1] and "Left out 1 face " in caplog.text
    assert point_boxes(points).tolist() == [[50, 60, 50, 60], [200, 30, 260, 70]]
    with refused("1 face", "two", "points"):
        frame_faces(some, "box", 0.25, "points")


@pytest.mark.parametrize("num_points", [1, 2, 3, 5, 68, 971])
def test_boxes_are_the_bits_that_a_plain_reduction_gives(num_points):
    random = np.random.default_rng(0)
    points = random.normal(0, 200, (300, num_points, 2)).astype(np.float32)
    points[random.random(points.shape[:2]) < 0.3] = np.nan
    points[7] = np.nan
    kept = points.copy()
    low, high = np.fmin.reduce(points, axis=1), np.fmax.reduce(points, axis=1)
    assert point_boxes(points).tobytes() == np.concatenate([low, high], axis=1).tobytes()
    assert points.tobytes() == kept.tobytes()
