"""What is usual and how far a value lies from it, with no outlier having a say in what that is."""

import numpy as np

TO_SIGMA = 1.4826  # of a normal distribution's median absolute deviation
ROWS_A_COLUMN = 10  # that a covariance needs
ROUNDS = 3  # of a covariance and what lies nearest by it
NINE_TENTHS = 1.645  # standard deviations: as far as nine tenths of a normal distribution reach


def median(values: np.ndarray) -> float:
    """Return the median of what is finite; NaN where nothing is."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else np.nan


def robust_z(values: np.ndarray, floor: float = 0.0) -> np.ndarray:
    """Return (n,) distances from the median in robust standard deviations; NaN stays NaN.

    Args:
        values: (n,).
        floor: the least that a standard deviation is taken for: very regular data would else make
            outliers of trifles.
    """
    away = values - median(values)
    return away / max(np.nan_to_num(TO_SIGMA * median(np.abs(away))), floor, np.finfo(float).tiny)


def robust_spread(values: np.ndarray) -> np.ndarray:
    """Return (m,) standard deviations of the columns of values (n, m) about zero.

    The larger of what half and what nine tenths of the values say: a mode along which most faces
    hardly vary and some do (an open mouth) has long tails that are no outliers.
    """
    lengths = np.abs(values)
    half, most = np.quantile(lengths, (0.5, 0.9), axis=0)
    return np.maximum(TO_SIGMA * half, most / NINE_TENTHS)


def rms(values: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """Return (n,) root mean squares of the rows of values (n, k), where known; NaN: nowhere."""
    if known is None:
        return np.sqrt((values**2).mean(1))
    count = known.sum(1)
    mean = np.where(known, values**2, 0).sum(1) / np.maximum(count, 1)
    return np.where(count > 0, np.sqrt(mean), np.nan)


def robust_distances(values: np.ndarray) -> np.ndarray:
    """Return (n,) squared Mahalanobis distances of the rows of values (n, m) from their median.

    The covariance is that of the nine tenths that lie nearest. NaN where a value is; all NaN where
    there are too few rows to tell.
    """
    known = np.isfinite(values).all(1)
    distances = np.full(len(values), np.nan)
    if known.sum() < ROWS_A_COLUMN * values.shape[1]:
        return distances
    away = values[known] - np.median(values[known], axis=0)
    spread = TO_SIGMA * np.median(np.abs(away), axis=0)
    squared = ((away / np.maximum(spread, np.finfo(float).tiny)) ** 2).sum(1)
    for _ in range(ROUNDS):
        inverse = np.linalg.pinv(np.cov(away[squared <= np.quantile(squared, 0.9)].T), 1e-6)
        squared = np.einsum("ni,ij,nj->n", away, inverse, away)
    distances[known] = squared
    return distances
