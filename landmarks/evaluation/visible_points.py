"""Errors of visible and of occluded points, where the labels know which these are."""

import numpy as np

from landmarks.evaluation.face_errors import BLOCK, FaceErrors

KINDS = {"visible": 2, "occluded": 1}


def measure_visibility(errors: FaceErrors, visible: np.ndarray | None) -> list[dict]:
    """Return a row a kind of points: how many are judged, and their errors in original pixels.

    nme is the mean of their distances over the size of their face.

    Args:
        visible: (N, K) uint8 of the faces, see `landmarks.data.faces.Faces`; None: not known.
    """
    if visible is None:
        return []
    rows = []
    for name, code in KINDS.items():
        count, total, squares, shares, sized = 0, 0.0, 0.0, 0.0, 0
        for start in range(0, len(visible), BLOCK):
            some = slice(start, start + BLOCK)
            chosen = (np.asarray(visible[some]) == code) & ~np.isnan(errors.distance[some])
            far = errors.distance[some][chosen].astype(np.float64)
            share = far / np.broadcast_to(errors.size[some, None], chosen.shape)[chosen]
            known = np.isfinite(share)
            count, total, squares = count + len(far), total + far.sum(), squares + (far**2).sum()
            shares, sized = shares + share[known].sum(), sized + int(known.sum())
        rows.append(
            {
                "points": name,
                "n": count,
                "mean": total / count if count else np.nan,
                "mse": squares / 2 / count if count else np.nan,
                "nme": shares / sized if sized else np.nan,
            }
        )
    return rows
