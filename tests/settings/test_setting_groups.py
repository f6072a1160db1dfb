import inspect
from dataclasses import dataclass

import pytest
from refusals import refused

from landmarks.settings import Positive, PositiveInt, check_arguments, describe_parameters, flat


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
