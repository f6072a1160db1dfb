"""Shapes of many faces in one frame: aligned, completed, and the few ways in which they vary.

A point is one complex number x + iy here, so that a turn with a scale is one factor.
"""

from dataclasses import dataclass

import numpy as np

ROUNDS = 5  # of alignment; the mean moves by less than 0.1 % after three
MAX_DISTANCE = 3.0  # a face this many median distances from the mean does not shape it
MODES = 20
POWER_ROUNDS = 5  # of subspace iteration; the leading modes stand out enough for it
FILL_ROUNDS = 3


@dataclass(frozen=True, eq=False)
class Shapes:
    """n faces of K points, moved, turned and scaled onto their mean.

    Args:
        faces: (n, K) complex64; a missing point is where the other points suggest.
        seen: (n, K) bool; False: was missing.
        unit: original pixels per unit of length, the median over faces. The unit is the size of
            the mean shape: the root mean square distance of its points to its middle.
    """

    faces: np.ndarray
    seen: np.ndarray
    unit: float

    def take(self, rows: np.ndarray) -> "Shapes":
        """Return some of the faces."""
        return Shapes(self.faces[rows], self.seen[rows], self.unit)


@dataclass(frozen=True, eq=False)
class Model:
    """A mean shape and how it varies.

    Args:
        mean: (K,) complex64.
        modes: (2K, m) float32, orthonormal; x and y of a point are neighbours.
        spread: (m,) standard deviation along each mode.
    """

    mean: np.ndarray
    modes: np.ndarray
    spread: np.ndarray

    def project(self, faces: np.ndarray) -> np.ndarray:
        """Return (n, K) complex64: the nearest shapes that the model can take."""
        weights = _flat(faces - self.mean) @ self.modes
        return self.mean + _complex(weights @ self.modes.T)

    def vary(self, mode: int, amount: float) -> np.ndarray:
        """Return (K,): the mean, `amount` standard deviations along one mode."""
        return self.mean + _complex(amount * self.spread[mode] * self.modes[:, mode])


def to_complex(points: np.ndarray) -> np.ndarray:
    """Return (n, k) complex128, NaN where either coordinate of points (n, k, 2) is missing."""
    return points[..., 0].astype(np.float64) + 1j * points[..., 1]


def fit_onto(faces: np.ndarray, target: np.ndarray, seen: np.ndarray | None = None) -> np.ndarray:
    """Return (n, K) faces, each moved, turned and scaled to lie nearest to the target (K,).

    Least squares over the points that are seen; None: all.
    """
    weight = np.ones(faces.shape, bool) if seen is None else seen
    weight = weight.astype(faces.real.dtype)  # keeps complex64 what it is
    target = target.astype(faces.dtype)
    count = weight.sum(1, keepdims=True)
    middle = weight @ target[:, None] / count
    centred = (faces - (faces * weight).sum(1, keepdims=True) / count) * weight
    # As the weighted faces are centred, the target need not be.
    factor = centred.conj() @ target[:, None]
    size = (centred.real**2 + centred.imag**2).sum(1, keepdims=True)
    return (factor / np.maximum(size, 1e-12) * centred + middle) * weight


def align_shapes(points: np.ndarray) -> Shapes:
    """Return faces in one frame: generalised Procrustes analysis that outliers do not steer.

    Gower, "Generalized Procrustes analysis", Psychometrika 40, 1975.

    Args:
        points: (n, K, 2) pixels, NaN where missing; each face has two points or more.
    """
    raw = to_complex(points)
    seen = ~np.isnan(raw)
    count = seen.sum(1, keepdims=True)
    middle = np.where(seen, raw, 0).sum(1, keepdims=True) / count
    raw = np.where(seen, raw - middle, 0)
    size = np.maximum(np.sqrt((np.abs(raw) ** 2).sum(1, keepdims=True) / count), 1e-12)
    mean = _mean(raw / size, seen)
    for _ in range(ROUNDS):
        faces = fit_onto(raw, mean, seen)
        away = np.sqrt((np.abs(np.where(seen, faces - mean, 0)) ** 2).sum(1) / count[:, 0])
        near = away <= MAX_DISTANCE * np.median(away)
        mean = _mean(faces[near], seen[near])
    faces, seen, size = fit_onto(raw, mean, seen)[near], seen[near], size[near]
    faces = np.where(seen, faces, mean).astype(np.complex64)
    shapes = Shapes(faces, seen, float(np.median(size)))
    return _drop_unlike(shapes if seen.all() else _complete(shapes))


def shape_model(shapes: Shapes) -> Model:
    """Return the principal components of the faces: at most 20, fewer for few faces or points."""
    mean = shapes.faces.mean(0)
    flat = _flat(shapes.faces - mean)
    count = max(1, min(MODES, shapes.faces.shape[1] // 2, len(flat) // 5))
    return Model(mean, *principal_components(flat, count))


def principal_components(flat: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the directions in which rows vary most, and their standard deviations along each.

    By subspace iteration: Halko et al., Finding structure with randomness, SIAM Review 2011.

    Args:
        flat: (n, d) float32, of mean zero.
        count: how many; at most n and d.

    Returns:
        (d, count) orthonormal columns, and (count,), the largest first.
    """
    # The seed is part of the method: the same faces give the same modes.
    guess = np.random.default_rng(0).standard_normal((flat.shape[1], count + 8))
    basis = guess[:, : min(flat.shape)].astype(np.float32)
    for _ in range(POWER_ROUNDS):
        basis = np.linalg.qr(flat.T @ (flat @ basis))[0]
    _, values, turn = np.linalg.svd(flat @ basis, full_matrices=False)
    return (basis @ turn.T)[:, :count], values[:count] / np.sqrt(len(flat))


def _mean(faces: np.ndarray, seen: np.ndarray) -> np.ndarray:
    mean = faces.sum(0) / np.maximum(seen.sum(0), 1)
    mean = mean - mean.mean()
    return mean / max(np.sqrt((np.abs(mean) ** 2).mean()), 1e-12)


def _complete(shapes: Shapes) -> Shapes:
    """Put missing points where the model of all faces expects them."""
    for _ in range(FILL_ROUNDS):
        expected = shape_model(shapes).project(shapes.faces)
        faces = np.where(shapes.seen, shapes.faces, expected)
        shapes = Shapes(faces, shapes.seen, shapes.unit)
    return shapes


def _drop_unlike(shapes: Shapes) -> Shapes:
    """Leave out faces that the rest do not explain: jittered labels blur who is whose partner.

    Each half is judged by the other's model: its own would have learnt the jitter.
    """
    away = np.zeros(len(shapes.faces))
    for half in (0, 1):
        faces, seen = shapes.faces[half::2], shapes.seen[half::2]
        others = shapes.take(np.arange(1 - half, len(away), 2))
        if len(others.faces):
            squares = np.abs(faces - shape_model(others).project(faces)) ** 2
            away[half::2] = np.sqrt((squares * seen).sum(1) / seen.sum(1))
    return shapes.take(np.flatnonzero(away <= MAX_DISTANCE * np.median(away)))


def _flat(faces: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(faces, np.complex64).view(np.float32)


def _complex(flat: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(flat, np.float32).view(np.complex64)
