"""metrics.json: every figure of an evaluation, as plain data; `fail_if=`, a condition on one."""

import hashlib
import math
import operator
import platform
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from landmarks import __version__
from landmarks.data.faces import Faces
from landmarks.errors import UserError, did_you_mean
from landmarks.evaluation.bootstrap import ASKED, Interval, mean_interval, subset_errors
from landmarks.evaluation.face_errors import (
    BLOCK,
    FaceErrors,
    forget_pages,
    pooled_quantiles,
    row_blocks,
)
from landmarks.layout import Layout
from landmarks.settings import Rule

SCHEMA = 1
QUANTILES = {"median": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
COMPARED = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
CONDITION = re.compile(r"\s*([\w.-]+)\s*(>=|<=|>|<)\s*([+-]?[\d.]+(?:e[+-]?\d+)?)\s*", re.I)
CONDITION_RULE = Rule(
    lambda text: CONDITION.fullmatch(text) is not None,
    'a condition on a figure of metrics.json, such as "mse>8" or "failure_rate.0.08>0.1"',
)
# What metrics.json holds beside what is of each threshold; some of a model, or a confidence, alone.
FIGURES = (
    "schema faces points labelled_points mse rmse nme point_error.mean point_error.median "
    "point_error.p90 point_error.p95 point_error.p99 leaderboard.points leaderboard.mse "
    "leaderboard.low leaderboard.high leaderboard.groups data.faces_trained_on checkpoint.epoch "
    "baselines.mean_shape baselines.mean_shape_nme "
    "calibration.points.rank_correlation calibration.faces.rank_correlation calibration.faces.area"
).split()


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


def fingerprints_of(faces: Faces) -> tuple[str, ...]:
    """Return digests of labelled faces, their names and points: the first as the points stand; a
    second with their names and in the order of these, where they have names.
    """
    plain = _digest(faces, hashlib.blake2b(digest_size=16), slice(None))
    if not faces.point_names:
        return (plain,)
    order = np.argsort(faces.point_names, kind="stable")
    named = hashlib.blake2b("\n".join(sorted(faces.point_names)).encode(), digest_size=16)
    return plain, _digest(faces, named, order)


def _digest(faces: Faces, digest, order: np.ndarray | slice) -> str:
    for start in range(0, len(faces), BLOCK):
        some = slice(start, start + BLOCK)
        digest.update(b"\n".join(faces.names[some].tolist()) + b"\n")
        digest.update(np.ascontiguousarray(faces.points[some][:, order], np.float32))
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


class Condition(NamedTuple):
    """A figure's name, dots between what lies in one another, how it is compared, and with what."""

    name: str
    sign: str
    limit: float


def read_condition(text: str) -> Condition:
    """Return a condition that keeps `CONDITION_RULE`."""
    name, sign, limit = CONDITION.fullmatch(text).groups()
    return Condition(name, sign, float(limit))


def require_figure(condition: Condition, thresholds: Sequence[float]) -> None:
    """Refuse a condition on a figure that no evaluation has, before there are any figures.

    Args:
        thresholds: of failure rates and areas.

    Raises:
        UserError: naming the nearest figure.
    """
    of_thresholds = (f"{key}.{t:.2f}" for t in thresholds for key in ("failure_rate", "auc"))
    _require(condition.name, [*FIGURES, *of_thresholds])


def _require(name: str, figures: Iterable[str]) -> None:
    if name not in figures:
        raise UserError(
            f"fail_if: there is no figure '{name}' in metrics.json.{did_you_mean(name, figures)}"
        )


def holds(condition: Condition, metrics: dict) -> bool:
    """Say whether a condition is met by the figures.

    Raises:
        UserError: if there is no such figure, or it is not known.
    """
    figures = list_figures(metrics)
    _require(condition.name, figures)
    value = figures[condition.name]
    if value is None:
        raise UserError(f"fail_if: {condition.name} is not known for these faces.")
    return COMPARED[condition.sign](value, condition.limit)


def list_figures(metrics: dict, before: str = "") -> dict[str, float | None]:
    """Return the numbers among plain data by their names: {"point_error.median": 1.2}."""
    found = {}
    for key, value in metrics.items():
        if isinstance(value, dict):
            found |= list_figures(value, f"{before}{key}.")
        elif value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            found[f"{before}{key}"] = value
    return found
