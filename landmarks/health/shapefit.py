"""A robust shape model of a data set's own labels, and how well each face fits it.

The mean shape is a median of aligned shapes; the modes are a principal component analysis
(Cootes et al. 1995, "Active Shape Models") of the faces that are left when the worst-fitting ones
have been trimmed away, so that no faulty face explains itself. Shapes are complex vectors x + iy:
a similarity is then one multiplication and one addition.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from landmarks.health.robust import robust_z

SAMPLE = 2000  # faces the model is fitted to
LANDMARKS = 256  # points of a face it looks at, evenly spread
MODES = 30
TRIMMED = 0.05  # share of faces left out: those that fit worst
NEIGHBOURS = 4


class Fit(NamedTuple):
    """How n faces fit the model.

    scale, shift (n,) complex: a reference shape z lies at scale z + shift in the image; |scale| is
    the face's size in pixels, NaN where it has too few points. residual (n,): rms distance of its
    points from the model, in face sizes. roughness (n,): rms of what a point's distance has not in
    common with its neighbours'; noise is rough, a rare grimace is not. mirrored (n,): rms distance
    from the mirrored mean shape, over that from the mean shape.
    """

    scale: np.ndarray
    shift: np.ndarray
    residual: np.ndarray
    roughness: np.ndarray
    mirrored: np.ndarray


@dataclass(frozen=True, eq=False)
class ShapeModel:
    """chosen (k,) indices of K points; mean (k,) complex, its box of area 1 about 0; modes (m, 2k)
    orthonormal; neighbours (k, NEIGHBOURS) indices into `chosen`."""

    chosen: np.ndarray
    mean: np.ndarray
    modes: np.ndarray
    neighbours: np.ndarray

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Return (n,) rms distances of faces (n, K, 2) from the mean shape, in face sizes."""
        return align(to_complex(points[:, self.chosen]), self.mean)[2]

    def fit(self, points: np.ndarray) -> Fit:
        """Return the fit of faces (n, K, 2), NaN where unlabelled."""
        shapes = to_complex(points[:, self.chosen])
        scale, shift, distances = align(shapes, self.mean)
        _, _, mirrored = align(shapes, self.mean.conj())
        offsets = _offsets(shapes, scale, shift, self.mean)
        off = offsets - (offsets @ self.modes.T) @ self.modes
        off = off.reshape(len(off), -1, 2)
        off[np.isnan(shapes)] = np.nan
        with np.errstate(invalid="ignore", divide="ignore"):
            around = np.nanmean(off[:, self.neighbours], axis=2)
            return Fit(scale, shift, _rms(off), _rms(off - around), mirrored / distances)


def to_complex(points: np.ndarray) -> np.ndarray:
    """Return (n, k) complex128, NaN where either coordinate of points (n, k, 2) is missing."""
    return points[..., 0].astype(np.float64) + 1j * points[..., 1]


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
    centre = filled.sum(1) / safe
    middle = (known * mean).sum(1) / safe
    around = np.where(known, mean - middle[:, None], 0)
    moved = np.where(known, shapes - centre[:, None], 0)
    power = np.maximum((np.abs(around) ** 2).sum(1), np.finfo(float).tiny)
    scale = (around.conj() * moved).sum(1) / power
    size = np.sqrt((np.abs(moved) ** 2).sum(1) / power)  # that of the shape, however badly it fits
    usable = (count >= max(2, len(mean) / 3)) & (size > 0)
    size = np.where(usable, size, np.nan)
    scale = np.where(usable, scale, np.nan)
    distance = np.abs(moved - scale[:, None] * around) ** 2
    return scale, centre - scale * middle, np.sqrt(distance.sum(1) / safe) / size


def fit_model(points: np.ndarray, rows: np.ndarray) -> ShapeModel | None:
    """Return the model of faces `rows` of points (N, K, 2), or None where too few have points."""
    chosen = np.unique(np.linspace(0, points.shape[1] - 1, LANDMARKS).astype(int))
    picked = rows[np.linspace(0, len(rows) - 1, min(len(rows), SAMPLE)).astype(int)]
    shapes = to_complex(np.asarray(points[picked])[:, chosen])
    shapes = shapes[(~np.isnan(shapes)).mean(1) >= 0.5]
    if len(shapes) < 8 or len(chosen) < 3 or np.isnan(shapes).all(0).any():
        return None
    mean = _find_mean(shapes)
    if mean is None:
        return None
    scale, shift, distance = align(shapes, mean)
    kept = robust_z(distance) < 5
    offsets = _offsets(shapes, scale, shift, mean)
    # Each half is judged by the modes of the other: a noisy face can be a mode of its own.
    half = np.arange(len(offsets)) % 2 == 0
    residual = np.empty(len(offsets))
    for judged in (half, ~half):
        modes = _find_modes(offsets[kept & ~judged])
        off = offsets[judged] - (offsets[judged] @ modes.T) @ modes
        residual[judged] = (off**2).sum(1)
    kept &= residual <= np.quantile(residual[kept], 1 - TRIMMED)
    distances = np.abs(mean[:, None] - mean)
    count = min(NEIGHBOURS, len(chosen) - 1)
    neighbours = np.argsort(distances, axis=1, kind="stable")[:, 1 : count + 1]
    return ShapeModel(chosen, mean, _find_modes(offsets[kept]), neighbours)


def _find_mean(shapes: np.ndarray) -> np.ndarray | None:
    """Return the median shape (k,), upright as the faces are, its box of area 1 about 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = np.nanmean(shapes, axis=1, keepdims=True)
        extent = np.sqrt(np.nanmean(np.abs(shapes - centre) ** 2, axis=1, keepdims=True))
        placed = (shapes - centre) / np.where(extent > 0, extent, np.nan)
    placed = placed[~np.isnan(placed).all(1)]
    if not len(placed) or np.isnan(placed).all(0).any():
        return None
    for _ in range(4):
        mean = np.nanmedian(placed.real, axis=0) + 1j * np.nanmedian(placed.imag, axis=0)
        area = np.ptp(mean.real) * np.ptp(mean.imag)
        if not area > 0:
            return None
        mean = (mean - (mean.real.max() + mean.real.min()) / 2) / np.sqrt(area)
        mean -= 0.5j * (mean.imag.max() + mean.imag.min())
        scale, shift, _ = align(shapes, mean)
        placed = (shapes - shift[:, None]) / scale[:, None]
    return mean


def _offsets(
    shapes: np.ndarray, scale: np.ndarray, shift: np.ndarray, mean: np.ndarray
) -> np.ndarray:
    """Return (n, 2k) float64, aligned shapes less the mean; 0 where unlabelled."""
    with np.errstate(invalid="ignore", divide="ignore"):
        offset = (shapes - shift[:, None]) / scale[:, None] - mean
    return np.ascontiguousarray(np.nan_to_num(offset, nan=0.0)).view(np.float64)


def _find_modes(offsets: np.ndarray) -> np.ndarray:
    count = min(MODES, len(offsets) // 10)
    _, vectors = np.linalg.eigh(offsets.T @ offsets)
    return vectors[:, ::-1].T[:count].copy()


def _rms(vectors: np.ndarray) -> np.ndarray:
    """Return (n,) of vectors (n, k, 2), NaN left out."""
    known = ~np.isnan(vectors).any(2)
    power = np.where(known, (vectors**2).sum(2), 0)
    count = known.sum(1)
    return np.where(count > 0, np.sqrt(power.sum(1) / np.maximum(count, 1)), np.nan)
