"""Does a layout's meaning fit the labels: do its eyes, brows, nose, mouth and jaw lie as in a face?

The number of points alone says little: 68 points come in many orders.
"""

import numpy as np

from landmarks.errors import say_count
from landmarks.shapes.aligning import align_shapes, fit_onto

MAX_FACES = 500
MIN_SHARE = 0.5  # of a region's points, and of the regions, that a face has to have labelled
MIN_PLACES = 4
# Bounds, in sizes of a face. Measured: of 1 to 300 real faces of 68 and of 971 points a middle lies
# up to 0.91 away in one and up to 0.07 in 300; with points in other orders, 1.0 to 2.0.
MAX_DISTANCE = 0.4
TURN_ALLOWANCE = 0.6  # over the square root of the number of faces, on top of it


def find_misplaced(
    points: np.ndarray,
    rows: np.ndarray,
    spots: dict[str, tuple[list[int], list[float]]],
    seed: int = 0,
) -> str:
    """Return which spot of a face is elsewhere in these faces, a clause; empty: none, or unknown.

    Faces may be turned, and mirrored all together.

    Args:
        points: (N, K, 2) original pixels, NaN where missing.
        rows: (n,) the faces to look at, of which some at random are.
        spots: name -> the first and last point of it, and where its middle is expected, (x, y) in
            any frame.
    """
    if len(rows) > MAX_FACES:
        rows = np.random.default_rng(seed).choice(rows, MAX_FACES, replace=False)
    faces = np.array(points[np.sort(rows)], np.float64)
    middles = np.stack([_middles(faces[:, a : b + 1]) for (a, b), _ in spots.values()], axis=1)
    expected = np.array([x + 1j * y for _, (x, y) in spots.values()])
    kept = np.isfinite(middles).all(2).any(0)
    middles = middles[:, kept]
    enough = np.isfinite(middles).all(2).sum(1) >= max(2, MIN_SHARE * kept.sum())
    if kept.sum() < MIN_PLACES or not enough.any():
        return ""
    shapes = align_shapes(middles[enough])
    sides = expected[kept], expected[kept].conj()
    each = [_distances(shapes.faces.mean(0), side) for side in sides]
    away = min(each, key=lambda distances: (distances**2).sum())
    bound = MAX_DISTANCE + TURN_ALLOWANCE / np.sqrt(len(shapes.faces))
    if away.max() <= bound:
        return ""
    name = [name for name, there in zip(spots, kept, strict=True) if there][away.argmax()]
    return (
        f"what would be its {name} lies {away.max():.1f} sizes of the face from there in "
        f"{say_count(len(shapes.faces), 'face')}"
    )


def _middles(points: np.ndarray) -> np.ndarray:
    """Return (n, 2), the means of points (n, k, 2), NaN where too few are labelled."""
    known = np.isfinite(points).all(2)
    count = known.sum(1)
    middles = np.where(known[..., None], points, 0).sum(1) / np.maximum(count, 1)[:, None]
    middles[count < MIN_SHARE * points.shape[1]] = np.nan
    return middles


def _distances(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return (k,) distances of a shape, moved, turned and scaled, to another's points (k,)."""
    away = np.abs(fit_onto(found[None], expected)[0] - expected)
    return away / np.sqrt((np.abs(expected - expected.mean()) ** 2).mean())
