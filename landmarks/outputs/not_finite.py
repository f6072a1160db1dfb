"""Predictions that are not finite: a failure, while a label that is NaN is only missing."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

MAX_NAMED = 3  # faces in a sentence


def find_faults(points: "np.ndarray | Tensor") -> "np.ndarray | Tensor":
    """Return (B,) each face's first point, of (B, K, 2), that is not finite; -1: there is none."""
    if isinstance(points, np.ndarray):
        bad = ~np.isfinite(points).all(2)
        return np.where(bad.any(1), bad.argmax(1), -1)
    bad = ~points.isfinite().all(2)
    return bad.byte().argmax(1).masked_fill(~bad.any(1), -1)


def say_faults(names: Sequence[str], faults: "np.ndarray | Tensor", point: str = "point ") -> str:
    """Return in words which faces are concerned, and the first point of each; empty: none.

    Args:
        names: (n,) of faces.
        faults: (n,) of `find_faults`.
        point: what stands before a point's number.
    """
    rows = np.flatnonzero(np.asarray(faults) >= 0).tolist()
    listed = [f"'{names[row]}' ({point}{faults[row]})" for row in rows[:MAX_NAMED]]
    more = len(rows) - len(listed)
    return ", ".join(listed) + (f" and {more} more" if more else "")
