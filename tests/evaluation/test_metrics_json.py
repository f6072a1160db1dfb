"""`fail_if`: what may be said, and when it holds."""

import pytest
from refusals import refused

from landmarks.errors import UserError
from landmarks.evaluation.metrics_json import (
    CONDITION_RULE,
    holds,
    list_figures,
    read_condition,
    require_figure,
)
from landmarks.evaluation.write_evaluation import conclude

METRICS = {"mse": 8.0, "auc": {"0.08": 0.5}, "nme": None, "normaliser": "eyes", "rounded": True}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mse>8", False),
        ("mse >= 8", True),
        ("mse<9", True),
        ("auc.0.08<=0.4", False),
        ("mse>1e1", False),
    ],
)
def test_conditions_compare_figures(text, expected):
    assert CONDITION_RULE.holds(text) and holds(read_condition(text), METRICS) is expected


@pytest.mark.parametrize("text", ["mse", "mse=8", "mse>", ">8", "mse>x", "mse>8>9", ""])
def test_other_texts_are_none(text):
    assert not CONDITION_RULE.holds(text)


def test_unknown_figures_are_refused():
    assert list_figures(METRICS) == {"mse": 8.0, "auc.0.08": 0.5, "nme": None}
    for text in ("msee>8", "nme>0.1", "normaliser>1"):
        with pytest.raises(UserError, match=text[:3]):
            holds(read_condition(text), METRICS)


def test_every_figure_is_known_before_there_are_any(judged):
    thresholds = [0.05, 0.1]
    for name in list_figures(conclude(judged(), thresholds).metrics):
        require_figure(read_condition(f"{name}>1"), thresholds)
    for text, near in (
        ("msee>1", "mse"),
        ("auc.0.2>1", "auc.0.10"),
        ("point_eror.median>1", "point_error.median"),
    ):
        with refused("fail_if", text[:-2], near):
            require_figure(read_condition(text), thresholds)
