"""Does a model know where it is wrong: its error against its own confidence."""

from collections.abc import Iterator

import numpy as np

from landmarks.evaluation.face_errors import row_blocks

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
    error, sure, means = _gather(distance, confidence)
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
    return {
        "points": {"rank_correlation": _rank_correlation(sure, error), "bins": bins},
        "faces": {"rank_correlation": _rank_correlation(means[1], means[0]), **_sparsify(*means)},
    }


def _gather(
    distance: np.ndarray, confidence: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Return error and confidence of at most MOST points, evenly spaced, and both faces' means."""
    counts = np.zeros(len(distance), int)
    for some, far, sure in _blocks(distance, confidence):
        counts[some] = (np.isfinite(far) & np.isfinite(sure)).sum(1)
    total, done = int(counts.sum()), 0
    ranks = np.linspace(0, total - 1, min(total, MOST)).astype(int)
    picked, sums = ([], []), np.zeros((2, len(distance)))
    for some, *values in _blocks(distance, confidence):
        both = np.isfinite(values[0]) & np.isfinite(values[1])
        known, first = np.flatnonzero(both), done
        done += len(known)
        wanted = ranks[slice(*np.searchsorted(ranks, [first, done]))] - first
        for i, block in enumerate(values):
            picked[i].append(block.ravel()[known[wanted]].astype(float))
            sums[i, some] = np.where(both, block, 0).sum(1, dtype=float)
    error, sure = (np.concatenate(parts) for parts in picked)
    faces = counts > 0
    return error, sure, [each[faces] / counts[faces] for each in sums]


def _blocks(distance: np.ndarray, confidence: np.ndarray) -> Iterator[tuple]:
    for (some, far), (_, sure) in zip(row_blocks(distance), row_blocks(confidence), strict=True):
        yield some, far, sure


def _rank_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    from scipy.stats import spearmanr  # it takes a second to import

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
