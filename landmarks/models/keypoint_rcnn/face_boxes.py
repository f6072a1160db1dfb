"""Boxes (x1, y1, x2, y2), by their edges in input pixels, of the face that an image shows."""

import torch
from torch import Tensor

MIN_SIDE = 2.0  # input pixels of a box
JITTER = 0.15  # of a side: an edge is moved by at most that, as found boxes are about as exact


def frame_image(like: Tensor, size: int) -> Tensor:
    """Return the box (4,) of an image of this side, on the device of `like`."""
    edges = torch.zeros(4, device=like.device)
    edges[2:] = size
    return edges


def frame_points(points: Tensor, size: int, margin: float) -> Tensor:
    """Return the boxes (B, 4) about the labelled points of (B, K, 2), clipped to the image.

    `tell_boxes` says for which faces the points determine a box.

    Args:
        points: in input pixels, NaN where unlabelled.
        size: side of the image, in pixels; points without extent get the whole image as box.
        margin: share of their extent added on every side.
    """
    boxes = _frame(points, size, margin)
    return torch.where(_have_extent(boxes)[:, None], boxes, frame_image(points, size))


def tell_boxes(points: Tensor, size: int, margin: float) -> Tensor:
    """Say for which faces the points determine a box, (B,) bool; arguments as for `frame_points`.

    The labelled points have an extent in the image, or one point is all that a face can have.
    """
    if points.shape[1] == 1:
        return points.isfinite().all(2)[:, 0]
    return _have_extent(_frame(points, size, margin))


def _frame(points: Tensor, size: int, margin: float) -> Tensor:
    labelled = points.isfinite()
    low = torch.where(labelled, points, torch.inf).amin(1) + 0.5
    high = torch.where(labelled, points, -torch.inf).amax(1) + 0.5
    grown = margin * (high - low)
    return torch.cat([low - grown, high + grown], 1).clamp(0, size)


def _have_extent(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2] >= MIN_SIDE).all(1)


def move_edges(faces: Tensor, count: int, size: int) -> Tensor:
    """Return boxes (B, count, 4), the faces' own with randomly moved edges.

    Args:
        faces: (B, 4), the faces' boxes.
        count: of each image.
        size: side of the image, in pixels.
    """
    sides = (faces[:, 2:] - faces[:, :2]).repeat(1, 2)[:, None]
    moves = JITTER * (2 * torch.rand(len(faces), count, 4, device=faces.device) - 1)
    return (faces[:, None] + moves * sides).clamp(0, size)
