"""metrics.json: every figure of an evaluation, as plain data."""

import hashlib
import math
import platform
from collections.abc import Sequence

import numpy as np
import torch

from landmarks import __version__
from landmarks.data.faces import Faces
from landmarks.evaluation.bootstrap import ASKED, Interval, mean_interval, subset_errors
from landmarks.evaluation.face_errors import (
    BLOCK,
    FaceErrors,
    forget_pages,
    pooled_quantiles,
    row_blocks,
)
from landmarks.layout import Layout

SCHEMA = 1
QUANTILES = {"median": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


def summarise(
    errors: FaceErrors,
    groups: np.ndarray,
    layout: Layout,
    thresholds: Sequence[float],
    seed: int = 0,
) -> dict:
    """Return the figures that stand for all faces.

    mse is the mean of the faces' mean squared errors in original pixels, rmse the root of the mean
    over all their labelled coordinates, nme the mean of their mean point distances over
    `normaliser`; failure_rate the share of faces whose NME is above a
    threshold, auc 1/t times the area under the cumulative curve of their NME up to t.

    Args:
        groups: (N,), see `landmarks.evaluation.bootstrap`.
        thresholds: t of failure rates and areas.
    """
    nme = errors.nme[np.isfinite(errors.nme)]
    mse = mean_interval(errors.squared, groups, seed)
    total, count = 0.0, 0
    for _, block in row_blocks(errors.distance):
        total += float(np.nansum(block, dtype=np.float64))
        count += int((~np.isnan(block)).sum())
    quantiles = pooled_quantiles(errors.distance, list(QUANTILES.values())).tolist()
    return {
        "faces": int(errors.judged.sum()),
        "points": errors.distance.shape[1],
        "labelled_points": count,
        "mse": mse.mean,
        "mse_interval": [mse.low, mse.high],
        "rmse": float(np.sqrt(errors.pooled)),
        "nme": float(nme.mean()) if len(nme) else None,
        "normaliser": say_normaliser(layout),
        "point_error": {
            "mean": float(total / count) if count else None,
            **dict(zip(QUANTILES, quantiles, strict=True)),
        },
        "failure_rate": {f"{t:.2f}": failure_rate(nme, t) for t in thresholds},
        "auc": {f"{t:.2f}": area_under_curve(nme, t) for t in thresholds},
    }


def failure_rate(nme: np.ndarray, threshold: float) -> float | None:
    """Return the share of errors (n,) above a threshold."""
    return float((nme > threshold).mean()) if len(nme) else None


def area_under_curve(nme: np.ndarray, threshold: float) -> float | None:
    """Return 1/t times the area under the cumulative curve of errors (n,) from 0 to t, exactly."""
    return float(np.clip(1 - nme / threshold, 0, None).mean()) if len(nme) else None


def foretell_score(errors: FaceErrors, groups: np.ndarray, seed: int = 0) -> dict:
    """Return what a leaderboard that asks 30 points of a face would say of such faces.

    Predictions are rounded to whole pixels first, as in a submission, in the same proportion.

    The interval is of the bootstrap over groups: it says how far the score of other faces of this
    kind, as many, may lie from this one.
    """
    drawn = subset_errors(errors.distance, ASKED, seed)
    rounding = np.nan_to_num(errors.rounded - errors.squared)
    interval = mean_interval(drawn + rounding, groups, seed)
    return {"points": min(ASKED, errors.distance.shape[1]), **say_interval(interval)}


def say_interval(interval: Interval) -> dict:
    """Return an interval as plain data."""
    return {
        "mse": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "groups": interval.groups,
    }


def say_normaliser(layout: Layout) -> str:
    """Return in words what the NME is divided by."""
    if layout.eyes:
        left, right = layout.eyes
        names = layout.names
        what = f"{names[left]} and {names[right]}" if names else "the outer eye corners"
        return f"distance of points {left} and {right}, {what}"
    return "square root of the area of the labelled points' box"


def fingerprint_of(faces: Faces) -> str:
    """Return a digest of labelled faces: their names and points."""
    digest = hashlib.blake2b(digest_size=16)
    for start in range(0, len(faces), BLOCK):
        some = slice(start, start + BLOCK)
        digest.update(b"\n".join(faces.names[some].tolist()) + b"\n")
        digest.update(np.ascontiguousarray(faces.points[some], np.float32))
        forget_pages(faces.points)
    return digest.hexdigest()


def say_versions() -> dict:
    """Return the versions of what the figures were made with."""
    return {
        "landmarks": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def plain(value: object) -> object:
    """Return plain data without numbers that JSON has no words for: None where not finite."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
