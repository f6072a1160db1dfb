"""Labels outside of every image, or of their own."""

import logging

import numpy as np

from landmarks.data.faces import Faces
from landmarks.data.images.decoding import read_image
from landmarks.errors import UserError, say_count

log = logging.getLogger(__name__)
BLOCK = 1024  # faces looked at at once
MAX_PLACE = 1e6  # pixels: OpenCV reads no larger image
SAMPLE = 64  # faces whose images are looked at
MAX_OUTSIDE = 0.05  # share of the labels outside their images; real sets have less than 0.01
EXCHANGED = 0.25  # of that, what exchanged x and y leave


def refuse_impossible(faces: Faces, rows: np.ndarray) -> None:
    """Raise UserError for the first label of the faces `rows` (n,) that no image can hold."""
    for start in range(0, len(rows), BLOCK):
        part = rows[start : start + BLOCK]
        points = np.asarray(faces.points[part])
        if max(np.nanmax(points, initial=0), -np.nanmin(points, initial=0)) < MAX_PLACE:
            continue
        face, point = np.argwhere((np.abs(points) >= MAX_PLACE).any(2))[0]
        x, y = points[face, point].tolist()
        raise UserError(
            f"{faces.source}: point {point} of '{faces.name(part[face])}' is at ({x:g}, {y:g}), "
            f"and no image is that large: correct it, or leave the face out with "
            f"data.exclude=FILE (landmarks check writes one)."
        )


def warn_of_outside(faces: Faces, rows: np.ndarray) -> None:
    """Warn if many labels lie outside their images, by some of the faces `rows` (n,)."""
    some = rows[np.linspace(0, len(rows) - 1, min(len(rows), SAMPLE)).astype(int)]
    labelled = outside = turned = 0
    for row in some.tolist():
        image = read_image(faces.path(row), exif=faces.exif)
        if image is None:
            continue
        points = np.asarray(faces.points[row])
        points = points[np.isfinite(points).all(1)]
        labelled += len(points)
        outside += _count_outside(points, image)
        turned += _count_outside(points[:, ::-1], image)
    if outside <= MAX_OUTSIDE * labelled:
        return
    why = "x and y seem to be exchanged" if turned < EXCHANGED * outside else "labels may be wrong"
    log.warning(
        f"{100 * outside / labelled:.0f} % of the labels of {faces.source}, of "
        f"{say_count(len(some), 'face')} looked at, lie outside their images: {why}; "
        "landmarks check lists such faces."
    )


def _count_outside(points: np.ndarray, image: np.ndarray) -> int:
    limit = np.array(image.shape[1::-1]) - 0.5
    return int(((points < -0.5) | (points > limit)).any(1).sum())
