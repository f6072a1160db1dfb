"""Boxes of faces, and the crop about them."""

import logging
from dataclasses import replace
from typing import Literal

import numpy as np

from landmarks.data.faces import Faces
from landmarks.data.split_groups import group_images
from landmarks.errors import UserError, say_count
from landmarks.geometry import BoxCrop, Crop, CropName

log = logging.getLogger(__name__)
BLOCK = 256  # faces looked at at once: what the processor's cache holds
BoxSource = Literal["data", "points"]


def frame_faces(
    faces: Faces,
    crop: CropName,
    box_margin: float,
    box_from: BoxSource = "data",
    leave_out: bool = False,
) -> tuple[Faces, Crop | BoxCrop]:
    """Return the faces with the boxes that the crop needs, and the crop as the loader takes it.

    Args:
        crop: "box" shows a square about the face's box; others the whole image.
        box_margin: share of the box's larger side that is added to it at every side.
        box_from: "data" takes the data set's boxes; "points" the box of the labelled points, of
            which a face needs two.
        leave_out: True leaves used faces (`faces.rows`) without a box out, with a warning; False
            refuses them. A box must have a size.

    Raises:
        UserError: if crop=box finds no box, or a used face has none.
    """
    if crop != "box":
        _warn_of_groups(faces, crop)
        return faces, crop
    if box_from == "points":
        faces = replace(faces, boxes=point_boxes(faces.points))
    elif faces.boxes is None:
        raise UserError(
            f"crop=box needs a box of each face and {faces.source} has none: use data with boxes "
            f"(coco, wflw, yolo, dlib, cvat, ...), box_from=points where there are labels, or "
            f"train with another crop."
        )
    rows = faces.usable
    usable = have_size(faces.boxes[rows])
    if usable.all():
        return faces, BoxCrop(box_margin)
    bad = rows[~usable]
    first = f"'{faces.name(bad[0])}' (face {bad[0] + 1}) first"
    what = "no two labelled points" if box_from == "points" else "no box, or one without size"
    if not leave_out:
        raise UserError(
            f"crop=box needs a box of each face: {say_count(len(bad), 'face')} of {faces.source} "
            f"with {what}, "
            f"{first}: correct them, or leave them out with data.on_error=skip or, in training, "
            f"data.exclude."
        )
    if not usable.any():
        raise UserError(f"crop=box: every face of {faces.source} has {what}.")
    count = say_count(len(bad), "face")
    log.warning(f"Left out {count} of {faces.source} with {what}, {first}.")
    return replace(faces, rows=rows[usable]), BoxCrop(box_margin)


def point_boxes(points: np.ndarray) -> np.ndarray:
    """Return the boxes (N, 4) float32, x0, y0, x1, y1, of the labelled points of (N, K, 2)."""
    boxes = np.empty((len(points), 4), np.float32)
    for start in range(0, len(points), BLOCK):
        block = np.asarray(points[start : start + BLOCK])
        boxes[start : start + BLOCK, :2] = _halve(block, np.fmin)
        boxes[start : start + BLOCK, 2:] = _halve(block, np.fmax)
    return boxes


def _halve(block: np.ndarray, choose: np.ufunc) -> np.ndarray:
    """Return `choose.reduce(block, axis=1)` of a block (n, K, 2), ten times as fast.

    It reduces half of the points with the other half at once; NumPy reduces pair by pair.
    """
    while block.shape[1] > 1:
        half = block.shape[1] // 2
        kept = choose(block[:, :half], block[:, half : 2 * half])
        if block.shape[1] % 2:
            kept[:, 0] = choose(kept[:, 0], block[:, -1])
        block = kept
    return block[:, 0]


def have_size(boxes: np.ndarray) -> np.ndarray:
    """Return (n,) bool: does each of the boxes (n, 4) have a size?"""
    sides = boxes[:, 2:] - boxes[:, :2]  # NaN where there is none: not at least 0
    return (sides >= 0).all(axis=1) & (sides > 0).any(axis=1)


def sides_of(boxes: np.ndarray) -> np.ndarray:
    """Return the root of the area of each of the boxes (n, 4)."""
    return np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def square_about(boxes: np.ndarray, places: dict) -> np.ndarray:
    """Return the squares (n, 4) of a photo in which faces lie as a model expects them.

    Args:
        boxes: (n, 4), x0, y0, x1, y1 about each face's points.
        places: see `landmarks.data.crops.expected_face_place.measure_places`.
    """
    boxes = np.asarray(boxes, np.float64)
    sides = sides_of(boxes)[:, None] / places["side"]
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    corners = middles - sides * np.array(places["center"])
    return np.float32(np.hstack([corners, corners + sides]))


def _warn_of_groups(faces: Faces, crop: CropName) -> None:
    rows = slice(None) if faces.rows is None else faces.rows
    shown = np.bincount(group_images(faces.names[rows]))
    if (shown > 1).any():
        log.warning(
            f"Several faces are shown in {(shown > 1).sum()} of {say_count(len(shown), 'image')} "
            "of "
            f"{faces.source}, but "
            f"crop={crop} shows the model the whole image: it cannot tell which face is meant. "
            f"Train with crop=box."
        )
