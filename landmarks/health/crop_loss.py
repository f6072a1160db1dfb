"""What the chosen crop does to the user's own faces."""

import numpy as np

from landmarks.data.faces import Faces
from landmarks.geometry import BoxCrop, Crop, box_matrix, crop_matrix, invert, transform

BLOCK = 256  # faces looked at at once


def try_crop(
    faces: Faces, rows: np.ndarray, sizes: np.ndarray, crop: Crop | BoxCrop, size: int
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the round trip's error, the faces' sizes in the input, and the shares of points lost.

    Args:
        faces: with points; for a `BoxCrop` with boxes.
        rows: (n,) faces whose images' sizes are known.
        sizes: (N, 2), width and height.
        crop: as `landmarks.data.crops.boxes.frame_faces` returns it.
        size: side of the input, in pixels.

    Returns:
        The largest distance, in original pixels, between a point and where it is after the way to
        the input and back, in the loader's own precision; (n,) square roots of the areas of the
        points' boxes, in input pixels; (n,) shares of a face's points outside the input.
    """
    worst, spans, lost = 0.0, [], []
    for i in range(0, len(rows), BLOCK):
        part = rows[i : i + BLOCK]
        if isinstance(crop, BoxCrop):
            matrices = np.stack([box_matrix(faces.boxes[row], crop.margin, size) for row in part])
        else:
            matrices = np.stack([crop_matrix(crop, *sizes[row].tolist(), size) for row in part])
        points = np.asarray(faces.points[part], np.float64)
        moved = transform(matrices, points)
        back = transform(invert(matrices).astype(np.float32), moved.astype(np.float32))
        known = np.isfinite(points).all(2)
        worst = max(
            worst, float(np.where(known, np.hypot(*np.moveaxis(back - points, 2, 0)), 0).max())
        )
        seen = ((moved >= -0.5) & (moved <= size - 0.5)).all(2)
        lost.append((known & ~seen).sum(1) / np.maximum(known.sum(1), 1))
        low, high = (np.where(known[..., None], moved, edge) for edge in (np.inf, -np.inf))
        sides = np.where(known.any(1)[:, None], high.max(1) - low.min(1), 0)
        spans.append(np.sqrt(sides.prod(1)))
    if not spans:
        return worst, np.zeros(0), np.zeros(0)
    return worst, np.concatenate(spans), np.concatenate(lost)
