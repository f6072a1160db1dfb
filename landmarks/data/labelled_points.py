"""Which points have labels: a model cannot learn a point that no face has labelled."""

import logging

import numpy as np

from landmarks.data.faces import Faces
from landmarks.errors import UserError, say_count, say_some

log = logging.getLogger(__name__)
BLOCK = 1024  # faces looked at at once
MAX_NAMED = 5  # points in a sentence


def find_labelled(points: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return (K,) bool: is the point of points (N, K, 2) labelled in one of the rows?

    Reading ends once every point has been seen labelled, as a rule after the first faces.
    """
    labelled = np.zeros(points.shape[1], bool)
    for start in range(0, len(rows), BLOCK):
        labelled |= np.isfinite(points[rows[start : start + BLOCK]]).all(2).any(0)
        if labelled.all():
            break
    return labelled


def require_labels(faces: Faces, training: np.ndarray, validation: np.ndarray) -> np.ndarray:
    """Return (K,) bool, which points the training faces have labelled.

    Args:
        faces: with points.
        training, validation: rows.

    Raises:
        UserError: if either part has not one label.
    """
    labelled = find_labelled(faces.points, training)
    if not labelled.any():
        raise UserError(
            f"{faces.source}: there is no label in {say_count(len(training), 'training face')}, "
            "and so "
            f"nothing to learn."
        )
    if not find_labelled(faces.points, validation).any():
        raise UserError(
            f"{faces.source}: there is no label in {say_count(len(validation), 'validation face')} "
            f"('{faces.name(validation[0])}' first), so that no model can be judged. Split "
            f"otherwise, with split.by=random or a larger split.share, or leave faces without "
            f"labels out with data.exclude=FILE."
        )
    return labelled


def warn_of_unlabelled(labelled: np.ndarray, where: str) -> None:
    """Warn of the points (K,) without a label in `where`, "the training faces of train.csv"."""
    missing = np.flatnonzero(~labelled)
    if len(missing):
        log.warning(
            f"Never labelled in {where}: {say_points(missing)}. A model cannot learn where that "
            f"is, and predict leaves the coordinates empty."
        )


def say_points(points: np.ndarray) -> str:
    """Return points (n,) in words, the first of them by number."""
    listed = say_some(points, MAX_NAMED)
    return f"{say_count(len(points), 'point')} ({listed})"
