"""Jittered contours: how sharply a jaw turns from point to point."""

import numpy as np

SPACING = 4.0  # px between points; nearer ones turn by their rounding to whole pixels
MIN_CONTOUR = 9  # points of a contour worth looking at


def find_contours(regions: dict, points: np.ndarray) -> list[np.ndarray]:
    """Return the indices of the points of each jaw arc, thinned to `SPACING`.

    Args:
        regions: name -> [first, last], inclusive, as in a layout; those named jaw are looked at.
        points: (n, K, 2), some faces, by which the spacing is found.

    Empty where the layout names no jaw, or its points are too few.
    """
    contours = []
    for name, (first, last) in regions.items():
        if not name.startswith("jaw") or last - first + 1 < MIN_CONTOUR:
            continue
        steps = np.diff(points[:, first : last + 1].astype(np.float64), axis=1)
        lengths = np.hypot(steps[..., 0], steps[..., 1])
        spacing = np.nanmedian(lengths) if np.isfinite(lengths).any() else np.nan
        if spacing > 0:
            step = min(int(np.ceil(SPACING / spacing)), (last - first) // (MIN_CONTOUR - 1))
            contours.append(np.arange(first, last + 1, max(1, step)))
    return contours


def turning_angles(points: np.ndarray, contours: list[np.ndarray]) -> np.ndarray:
    """Return (n,) mean turning angles in degrees along the contours of faces (n, K, 2).

    On the contest's faces, clean jaws have 7 to 23 degrees and jittered ones over 70. NaN where a
    face has no two labelled steps beside each other.
    """
    total, count = np.zeros(len(points)), np.zeros(len(points), int)
    for contour in contours:
        steps = np.diff(points[:, contour].astype(np.float64), axis=1)
        direction = np.arctan2(steps[..., 1], steps[..., 0])
        turns = np.abs((np.diff(direction, axis=1) + np.pi) % (2 * np.pi) - np.pi)
        total += np.nansum(turns, axis=1)
        count += np.isfinite(turns).sum(1)
    return np.where(count > 0, np.degrees(total / np.maximum(count, 1)), np.nan)
