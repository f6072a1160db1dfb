"""Labels looked at by themselves and against the image's size."""

from typing import NamedTuple

import numpy as np

from landmarks.health.robust_statistics import median

BLOCK = 1024  # faces looked at at once
PLACE_SIZE, LINE_WIDTH = 4.0, 0.02  # pixels; width over length
UNUSUAL_RATIO, USUAL_SHARE = 10.0, 0.8  # times less than is usual; share of faces that makes it so


class Places(NamedTuple):
    """Where n faces' points lie.

    labelled (n,): how many have both coordinates; extent (n, 2): sides of their box, pixels;
    outside (n,): share of them outside the image, NaN where its size is unknown; negative (n,):
    how many have a coordinate below -0.5.
    """

    labelled: np.ndarray
    extent: np.ndarray
    outside: np.ndarray
    negative: np.ndarray


def find_places(points: np.ndarray, rows: np.ndarray, sizes: np.ndarray) -> Places:
    """Return where the points (N, K, 2) of `rows` (n,) lie in images of sizes (N, 2), 0 unknown."""
    parts = []
    for i in range(0, len(rows), BLOCK):
        part = rows[i : i + BLOCK]
        block = np.asarray(points[part], np.float64)
        known = np.isfinite(block).all(2)
        count = np.maximum(known.sum(1), 1)
        lowest = np.where(known[..., None], block, np.inf).min(1)
        highest = np.where(known[..., None], block, -np.inf).max(1)
        extent = np.where(known.any(1)[:, None], highest - lowest, np.nan)
        limit = sizes[part][:, None].astype(np.float64) - 0.5
        beyond = ((block < -0.5) | (block > limit)).any(2) & known
        share = np.where(sizes[part].all(1), beyond.sum(1) / count, np.nan)
        parts.append(Places(known.sum(1), extent, share, (block < -0.5).any(2).sum(1)))
    if not parts:
        return Places(np.zeros(0, int), np.zeros((0, 2)), np.zeros(0), np.zeros(0, int))
    return Places(*map(np.concatenate, zip(*parts, strict=True)))


def is_degenerate(places: Places) -> np.ndarray:
    """Return (n,) bool: are at least two labelled points all but one place, or one line?

    One place is less than 4 pixels, one line 50 times as long as it is wide, along an axis. Where
    most faces are as small or as thin (the points of an iris, of a nose bridge), that is no fault.
    """
    sides = np.sort(places.extent, axis=1)
    several = places.labelled >= 2
    place = sides[:, 1] < min(PLACE_SIZE, median(sides[several, 1]) / UNUSUAL_RATIO)
    many = places.labelled >= 3
    thin = sides[:, 0] / np.maximum(sides[:, 1], 1)
    wide = np.mean(thin[many] > UNUSUAL_RATIO * LINE_WIDTH) > USUAL_SHARE if many.any() else False
    return (several & place) | (many & (thin < LINE_WIDTH) & wide)
