"""Shapes laid over one another by similarities; a shape is (k,) complex, x + iy, NaN unlabelled."""

import numpy as np

from landmarks.health.robust_statistics import rms

ROUNDS = 4  # of a median shape and the alignment to it
TINY = 1e-12  # share of its distance from the origin, squared: no extent but rounding
MIN_SHARE = 1 / 3  # share of its points that a face is placed by, at least


def align(shapes: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return scale, shift (n,) complex and rms distance (n,), in face sizes, of the best fits.

    Args:
        shapes: (n, k) complex, NaN where unlabelled.
        mean: (k,) complex, what is laid over each of them.

    NaN where fewer than a third of the points, or of no extent.
    """
    known = ~np.isnan(shapes)
    count = known.sum(1)
    safe = np.maximum(count, 1)
    filled = np.where(known, shapes, 0)
    weight = known.astype(np.float64)
    centre, middle = filled.sum(1) / safe, weight @ mean / safe
    # Sums of squares and products about the means, with nothing of the faces' size kept.
    power = weight @ (mean.real**2 + mean.imag**2) - count * np.abs(middle) ** 2
    power = np.maximum(power, np.finfo(float).tiny)
    extent = np.einsum("nk,nk->n", filled, filled.conj()).real - count * np.abs(centre) ** 2
    scale = (filled @ mean.conj() - count * centre * middle.conj()) / power
    usable = (count >= max(2, len(mean) * MIN_SHARE)) & (extent > TINY * np.abs(centre) ** 2)
    extent = np.where(usable, extent, np.nan)
    scale = np.where(usable, scale, np.nan)
    # In sizes of the shape itself, however badly it fits. Least squares: what is left is the rest.
    left = np.maximum(1 - np.abs(scale) ** 2 * power / extent, 0)
    return scale, centre - scale * middle, np.sqrt(left * power / safe)


def offsets_from(
    mean: np.ndarray, shapes: np.ndarray, scale: np.ndarray, shift: np.ndarray
) -> np.ndarray:
    """Return (n, 2k) float32, aligned shapes less the mean, x and y of a point side by side."""
    with np.errstate(invalid="ignore", divide="ignore"):
        offsets = (shapes - shift[:, None]) / scale[:, None] - mean
    offsets[np.isnan(offsets)] = complex(np.nan, np.nan)
    return np.ascontiguousarray(offsets, np.complex64).view(np.float32)


def similarities(mean: np.ndarray) -> np.ndarray:
    """Return (2k, 4) float32, orthonormal: how a shape moves as it is moved, turned and scaled."""
    ways = np.stack([np.ones_like(mean), np.full_like(mean, 1j), mean, 1j * mean])
    return np.linalg.qr(ways.view(np.float64).T)[0].astype(np.float32)


def find_mean(shapes: np.ndarray) -> np.ndarray | None:
    """Return the median shape (k,), upright as the faces are, its box of area 1 about 0."""
    known = ~np.isnan(shapes)
    centre = np.where(known, shapes, 0).sum(1) / np.maximum(known.sum(1), 1)
    moved = shapes - centre[:, None]
    extent = rms(np.abs(moved), known)
    placed = moved[extent > 0] / extent[extent > 0, None]
    for _ in range(ROUNDS):
        if not len(placed) or np.isnan(placed).all(0).any():
            return None
        mean = np.nanmedian(placed.real, axis=0) + 1j * np.nanmedian(placed.imag, axis=0)
        area = np.ptp(mean.real) * np.ptp(mean.imag)
        if not area > 0:
            return None
        mean = (mean - (mean.real.max() + mean.real.min()) / 2) / np.sqrt(area)
        mean -= 0.5j * (mean.imag.max() + mean.imag.min())
        scale, shift, _ = align(shapes, mean)
        usable = np.abs(scale) > 0
        placed = (shapes[usable] - shift[usable, None]) / scale[usable, None]
    return mean
