"""Does a model know where it is wrong: its error against its own confidence."""

import numpy as np
from scipy.stats import spearmanr

BINS = 10
MOST = 1_000_000  # points looked at
STEPS = 21  # shares of the faces that are left out


def judge_confidence(distance: np.ndarray, confidence: np.ndarray) -> dict:
    """Return how confidence and error go together, as plain data.

    Args:
        distance, confidence: (N, K), NaN where there is no label.

    Returns:
        points: the error of points in ten bins of confidence, the least sure first, and their rank
        correlation (Spearman), negative where it is right; faces: the same correlation of faces'
        means, and the sparsification curve: the mean error of the faces that are left when the
        least sure share is left out, beside the same by error itself, which is the best there can
        be. area is that between both curves over the area above the best, 0 for a model that knows,
        1 for one whose confidence says nothing.
    """
    known = np.flatnonzero(np.isfinite(distance) & np.isfinite(confidence))
    some = known[np.linspace(0, len(known) - 1, min(len(known), MOST)).astype(int)]
    error, sure = distance.ravel()[some].astype(float), confidence.ravel()[some].astype(float)
    order = np.argsort(sure, kind="stable")
    bins = [
        {
            "confidence": float(sure[part].mean()),
            "error": float(error[part].mean()),
            "p90": float(np.quantile(error[part], 0.9)),
            "n": len(part),
        }
        for part in np.array_split(order, BINS)
        if len(part)
    ]
    both = np.isfinite(distance) & np.isfinite(confidence)
    count = both.sum(1)
    faces = count > 0
    means = [
        np.where(both, values, 0).sum(1, dtype=float)[faces] / count[faces]
        for values in (distance, confidence)
    ]
    return {
        "points": {"rank_correlation": _rank_correlation(sure, error), "bins": bins},
        "faces": {"rank_correlation": _rank_correlation(means[1], means[0]), **_sparsify(*means)},
    }


def _rank_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(spearmanr(first, second).statistic)


def _sparsify(error: np.ndarray, sure: np.ndarray) -> dict:
    shares = np.linspace(0, 0.95, STEPS)
    kept = np.maximum(1, np.rint((1 - shares) * len(error)).astype(int))

    def curve(order: np.ndarray) -> np.ndarray:
        return (np.cumsum(error[order]) / np.arange(1, len(error) + 1))[kept - 1]

    own, best = curve(np.argsort(-sure, kind="stable")), curve(np.argsort(error, kind="stable"))
    room = (error.mean() - best).sum()
    area = float((own - best).sum() / room) if room > 0 else None
    return {
        "left_out": shares.round(4).tolist(),
        "error": own.tolist(),
        "best_error": best.tolist(),
        "area": area,
    }
