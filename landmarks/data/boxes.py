"""Boxes of faces, and the crop they drive."""

import logging
from dataclasses import replace
from typing import Literal

import numpy as np

from landmarks.data.faces import Faces
from landmarks.errors import UserError
from landmarks.geometry import BoxCrop, Crop, CropName

log = logging.getLogger(__name__)
BLOCK = 4096  # faces looked at at once
BoxSource = Literal["data", "points"]


def frame_faces(
    faces: Faces, crop: CropName, box_margin: float, box_from: BoxSource = "data"
) -> tuple[Faces, Crop | BoxCrop]:
    """Return the faces with what the crop needs of them, and the crop as the loader takes it.

    Args:
        crop: "box" shows a square about the face's box; others the whole image.
        box_margin: share of the box's larger side that is added to it at every side.
        box_from: "data" takes the data set's boxes; "points", in training, the box of the labelled
            points, and leaves out faces that have fewer than two.

    Raises:
        UserError: if crop=box finds no box.
    """
    if crop != "box":
        return faces, crop
    if box_from == "data":
        _check_boxes(faces)
        return faces, BoxCrop(box_margin)
    faces = replace(faces, boxes=point_boxes(faces.points))
    rows = np.arange(len(faces)) if faces.rows is None else faces.rows
    kept = rows[_have_size(faces.boxes[rows])]
    if not len(kept):
        raise UserError(f"box_from=points: not one face of {faces.source} has two labelled points.")
    if len(kept) < len(rows):
        log.warning("Left out %d faces without two labelled points.", len(rows) - len(kept))
    return replace(faces, rows=kept), BoxCrop(box_margin)


def point_boxes(points: np.ndarray) -> np.ndarray:
    """Return (N, 4) float32, the x0, y0, x1, y1 of the labelled ones of points (N, K, 2)."""
    boxes = np.empty((len(points), 4), np.float32)
    for start in range(0, len(points), BLOCK):
        block = points[start : start + BLOCK]
        boxes[start : start + BLOCK, :2] = np.fmin.reduce(block, axis=1)
        boxes[start : start + BLOCK, 2:] = np.fmax.reduce(block, axis=1)
    return boxes


def _check_boxes(faces: Faces) -> None:
    if faces.boxes is None:
        raise UserError(
            f"crop=box needs a box of each face and {faces.source} has none: use data with boxes "
            f"(coco, wflw, table), or train with another crop or with box_from=points."
        )
    bad = np.flatnonzero(~_have_size(faces.boxes))
    if len(bad):
        raise UserError(
            f"crop=box needs a box of each face and {len(bad)} of {faces.source} have none or one "
            f"without size, '{faces.name(bad[0])}' (face {bad[0] + 1}) first."
        )


def _have_size(boxes: np.ndarray) -> np.ndarray:
    """Return (n,) bool: is it a box, of more than one place?"""
    sides = boxes[:, 2:] - boxes[:, :2]  # NaN where there is none: not at least 0
    return (sides >= 0).all(axis=1) & (sides > 0).any(axis=1)
