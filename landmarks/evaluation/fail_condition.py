"""`fail_if="mse>8"`: a condition on a figure of metrics.json."""

import operator
import re
from typing import NamedTuple

from landmarks.errors import UserError, did_you_mean
from landmarks.settings import Rule

COMPARED = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
CONDITION = re.compile(r"\s*([\w.-]+)\s*(>=|<=|>|<)\s*([+-]?[\d.]+(?:e[+-]?\d+)?)\s*", re.I)
CONDITION_RULE = Rule(
    lambda text: CONDITION.fullmatch(text) is not None,
    'a condition on a figure of metrics.json, such as "mse>8" or "failure_rate.0.08>0.1"',
)


class Condition(NamedTuple):
    """A figure's name, dots between what lies in one another, how it is compared, and with what."""

    name: str
    sign: str
    limit: float


def read_condition(text: str) -> Condition:
    """Return a condition that keeps `CONDITION_RULE`."""
    name, sign, limit = CONDITION.fullmatch(text).groups()
    return Condition(name, sign, float(limit))


def holds(condition: Condition, metrics: dict) -> bool:
    """Say whether a condition is met by the figures.

    Raises:
        UserError: if there is no such figure, or it is not known.
    """
    figures = list_figures(metrics)
    if condition.name not in figures:
        raise UserError(
            f"fail_if: there is no figure '{condition.name}' in metrics.json."
            f"{did_you_mean(condition.name, figures)}"
        )
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
