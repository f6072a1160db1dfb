"""`fail_if="mse>8"`: a condition on a figure of metrics.json."""

import operator
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from landmarks.errors import UserError, did_you_mean
from landmarks.settings import Rule

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
