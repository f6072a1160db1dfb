"""Which points have labels: a model cannot learn a point that no face has labelled."""

import logging

import numpy as np

from landmarks.data.faces import Faces
from landmarks.errors import UserError, say_count, say_some

log = logging.getLogger(__name__)
BLOCK = 1024  # faces looked at at once
MAX_NAMED = 5  # points in a sentence
MIN_USUAL = 20  # faces with a label of the usual point, before another's are few
FEW, FEW_SHARE = 2, 0.02  # labels of a point that may be a misspelt name, of those that are usual


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


def warn_of_misspelt(faces: Faces, rows: np.ndarray) -> None:
    """Warn of named points with labels in very few of the rows: a misspelt name is one of these."""
    if not faces.point_names:
        return
    counts = np.zeros(len(faces.point_names), np.int64)
    for start in range(0, len(rows), BLOCK):
        counts += np.isfinite(faces.points[rows[start : start + BLOCK]]).all(2).sum(0)
    usual = np.median(counts)
    are_few = (counts > 0) & (counts <= max(FEW, FEW_SHARE * usual))
    if usual >= MIN_USUAL and are_few.any():
        listed = say_some(
            (f"'{faces.point_names[k]}' in {counts[k]}" for k in np.flatnonzero(are_few)), MAX_NAMED
        )
        log.warning(
            f"Labelled in very few of {say_count(len(rows), 'face')} of {faces.source}: {listed}. "
            f"Each counts as a point of its own: correct the name if it is misspelt."
        )


def say_points(points: np.ndarray) -> str:
    """Return points (n,) in words, the first of them by number."""
    listed = say_some(points, MAX_NAMED)
    return f"{say_count(len(points), 'point')} ({listed})"
