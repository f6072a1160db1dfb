import inspect
from dataclasses import dataclass

import pytest
from refusals import refused

from landmarks.settings import (
    ABOVE_ZERO,
    Needs,
    Positive,
    PositiveInt,
    check_arguments,
    describe_parameters,
    flat,
)


@pytest.mark.parametrize(
    ("needs", "settings", "holds"),
    [
        (Needs("crop", "box"), {"crop": "box"}, True),
        (Needs("crop", "box"), {"crop": "whole"}, False),
        (Needs("crop", "box"), {"data.crop": "box"}, False),
        (Needs("/init", None), {}, True),
        (Needs("/init", None), {"init": "a"}, False),
        (Needs("/init", ("a", "b")), {"init": "b"}, True),
        (Needs("/noise", ABOVE_ZERO), {"noise": 0.1}, True),
        (Needs("/noise", ABOVE_ZERO), {"noise": 0}, False),
        (Needs("/noise", ABOVE_ZERO), {}, False),
        (Needs(("/noise", "/blur"), ABOVE_ZERO), {"noise": 0, "blur": 1}, True),
    ],
)
def test_what_a_setting_needs(needs, settings, holds):
    assert needs.holds(settings) is holds


def test_a_setting_of_a_group_needs_one_of_that_group():
    needs = Needs("by", "groups")
    assert needs.holds({"split.by": "groups", "by": "blocks"}, "split")
    assert needs.say("split") == "split.by=groups"
    assert Needs(("a", "/b"), ABOVE_ZERO).say("g") == "g.a or b above 0"
    assert Needs("a", 1, "a model with one").say("g") == "a model with one"


@dataclass(frozen=True, kw_only=True)
class Shared:
    lr: Positive
    steps: PositiveInt = 3


@flat
def takes_shared(model: str, *, shared: Shared, name: str = "a") -> tuple:
    return model, shared, name


def test_settings_shared_in_a_dataclass_are_given_checked_and_described_one_by_one():
    assert takes_shared("m", lr=0.5, name="b") == ("m", Shared(lr=0.5), "b")
    assert list(inspect.signature(takes_shared).parameters) == ["model", "lr", "steps", "name"]
    assert check_arguments(takes_shared, {"lr": 0.1, "steps": 4}) == {"lr": 0.1, "steps": 4}
    with refused("steps=0"):
        check_arguments(takes_shared, {"steps": 0})
    with refused("'shared'"):
        check_arguments(takes_shared, {"shared": 1})
    assert describe_parameters(takes_shared)["lr"] == "a number above 0"
    with pytest.raises(TypeError):
        takes_shared("m")  # without lr
