"""How far a value lies from what is usual, with no outlier having a say in what that is."""

import numpy as np

TO_SIGMA = 1.4826  # of a normal distribution's median absolute deviation


def robust_z(values: np.ndarray, floor: float = 0.0) -> np.ndarray:
    """Return (n,) distances from the median in robust standard deviations; NaN stays NaN.

    Args:
        values: (n,).
        floor: the least that a standard deviation is taken for: very regular data would else make
            outliers of trifles.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return np.full(len(values), np.nan)
    middle = np.median(known)
    sigma = TO_SIGMA * np.median(np.abs(known - middle))
    return (values - middle) / max(sigma, floor, np.finfo(np.float64).tiny)
