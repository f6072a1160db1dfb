"""The points of several models as one: their mean or median, and how far they lie apart."""

from typing import Literal

import numpy as np

EnsembleName = Literal["mean", "median", "weighted"]


def combine_points(
    points: np.ndarray, how: EnsembleName, weights: np.ndarray | None = None
) -> np.ndarray:
    """Return (..., K, 2) float32, the combination of points (M, ..., K, 2).

    Args:
        points: NaN where a model knows nothing; the others decide.
        how: see `landmarks.inference.ensemble.Ensemble`.
        weights: (M,), for "weighted".
    """
    if how == "median":
        return np.nanmedian(points, axis=0).astype(np.float32)
    weights = np.ones(len(points)) if how == "mean" or weights is None else weights
    weights = np.reshape(weights, (-1, *(1,) * (points.ndim - 1)))
    shares = np.where(np.isnan(points), 0, weights)
    total = np.where(shares > 0, points, 0) * shares
    with np.errstate(invalid="ignore"):
        return (total.sum(0) / shares.sum(0)).astype(np.float32)


def spread_of(points: np.ndarray, combined: np.ndarray) -> np.ndarray:
    """Return (..., K) float32 pixels: the standard deviation of points (M, ..., K, 2).

    That is the root of the mean square distance from `combined` (..., K, 2).
    """
    squares = np.square(points - combined).sum(-1)
    known = ~np.isnan(squares)
    total = np.where(known, squares, 0).sum(0)
    with np.errstate(invalid="ignore"):
        return np.sqrt(total / known.sum(0)).astype(np.float32)
