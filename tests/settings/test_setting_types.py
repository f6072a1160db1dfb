from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from refusals import refused

from landmarks.errors import UserError
from landmarks.settings import (
    Count,
    Duration,
    GroupOf,
    Needs,
    NonNegative,
    Positive,
    PositiveInt,
    Rule,
    Share,
    Workers,
    check_arguments,
    describe_parameters,
    marks_of,
    parse_duration,
    settings_of,
)

Even = Annotated[int, Rule(lambda v: v % 2 == 0, "an even number")]


def takes(kind):
    def function(model, *, setting): ...

    function.__annotations__ = {"setting": kind}
    return function


FITS = [
    (int, [0, -3], [1.5, 2.0, True, "1", None, [1]]),
    (float, [0, 1.5, -2], [True, "1.5", None, float("nan"), float("inf")]),
    (bool, [True, False], [0, 1, "true", None]),
    (str, ["", "text"], [True, None, ["a"]]),
    (Any, [1, None, "x", [1]], []),
    (list, [[], [1, "a"]], ["ab", None, {}]),
    (dict, [{}, {"a": 1}], [[], None]),
    (list[int], [[1, 2]], ["1"]),
    (int | None, [3, None], [True, 1.5, "null"]),
    (str | None, ["a", None], [False]),
    (Literal["a", "b"], ["a"], ["c", None, 1]),
    (Literal["a"] | None, ["a", None], ["None", 1]),
    (Literal["auto"] | None, ["auto", None], ["aut", 0]),
    (Literal[1, 2], [1], [True, 1.0, 3]),
    (PositiveInt, [1, 100], [0, -1, 1.5, True, "1"]),
    (PositiveInt | None, [1, None], [0, False]),
    (Count, [0, 5], [-1, False]),
    (Positive, [1, 1e-9], [0, -1.0, True, float("inf")]),
    (NonNegative, [0, 0.0], [-1e-9]),
    (Share, [0, 0.5], [1, -0.1, 1.5]),
    (Even, [0, -2], [1, 2.0]),
    (Workers, ["auto", 0, 8], [-1, "all", True, 1.5, None]),
    (Duration, ["2h", "90s"], ["soon", "", "0s", 0, -5, True, None, 90, 1.5, "90", " 2 "]),
]


@pytest.mark.parametrize(("kind", "value"), [(k, v) for k, good, _ in FITS for v in good])
def test_what_fits_is_passed_on(kind, value):
    checked = check_arguments(takes(kind), {"setting": value}, "here")
    assert checked == {"setting": value} and type(checked["setting"]) is type(value)


@pytest.mark.parametrize("value", [2, "2", 1.5])
def test_a_duration_without_a_unit_is_named_with_each(value):
    with refused("here.setting=", f"{value}s", f"{value}m", f"{value}h"):
        check_arguments(takes(Duration | None), {"setting": value}, "here")


@pytest.mark.parametrize(("kind", "value"), [(k, v) for k, _, bad in FITS for v in bad])
def test_what_does_not_fit_is_refused(kind, value):
    with refused("here.setting="):
        check_arguments(takes(kind), {"setting": value}, "here")


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (int, 1.5, "takes a whole number."),
        (float | None, "x", "takes a number or null."),
        (bool, 1, "takes true or false."),
        (Even, 3, "takes an even number."),
        (Share, 1, "takes a number from 0 up to, not including, 1."),
        (Workers, "all", "takes auto or a whole number of at least 0."),
        (Literal["stop", "skip"], "skipp", "takes stop or skip. Did you mean 'skip'?"),
        (Literal["bf16", "off"] | None, "bf-16", "takes bf16 or off or null. Did you mean 'bf16'?"),
    ],
)
def test_says_what_it_takes(kind, value, said):
    with pytest.raises(UserError) as refused:
        check_arguments(takes(kind), {"setting": value})
    assert str(refused.value) == f"setting={value} does not fit: setting {said}"


def build(model, *, weight_decay: NonNegative = 0.0, lr: Positive, name: str = ""): ...


def test_unknown_settings_name_the_nearest():
    with pytest.raises(UserError) as refused:
        check_arguments(build, {"weight_deacy": 1}, "optimizer")
    assert str(refused.value) == (
        "There is no setting 'optimizer.weight_deacy'. Did you mean 'weight_decay'?"
    )
    with pytest.raises(UserError) as refused:
        check_arguments(build, {"qqqq": 1})
    assert str(refused.value) == "There is no setting 'qqqq'."


def test_arguments_without_annotation_are_not_for_the_user():
    with refused("'model'"):
        check_arguments(build, {"model": 3})


def test_hydra_s_own_names_are_left_out():
    values = {"_target_": "x", "_partial_": True, "lr": 1}
    assert check_arguments(build, values) == {"lr": 1}
    assert values["_target_"] == "x"


@pytest.mark.parametrize(
    ("kind", "value", "passed"),
    [(str, 2024, "2024"), (str | None, 1.5, "1.5"), (str | int, 7, 7)],
)
def test_numbers_become_text_where_only_text_is_taken(kind, value, passed):
    checked = check_arguments(takes(kind), {"setting": value})["setting"]
    assert checked == passed and type(checked) is type(passed)


@dataclass
class Data:
    size: PositiveInt
    name: str = ""


class Plain:
    def __init__(self, *, size: PositiveInt, name: str = ""):
        self.size, self.name = size, name


@pytest.mark.parametrize("kind", [Data, Plain])
def test_classes(kind):
    assert check_arguments(kind, {"size": 3, "name": 5}) == {"size": 3, "name": "5"}
    with refused("size=0"):
        check_arguments(kind, {"size": 0})
    with refused("'sise'"):
        check_arguments(kind, {"sise": 1})


@pytest.mark.parametrize("kind", [Count, PositiveInt, Positive, int | None, Workers])
def test_a_number_that_no_machine_holds_is_refused(kind):
    def function(value):
        pass

    function.__annotations__["value"] = kind
    with refused("value=99999999999999999999"):
        check_arguments(function, {"value": 99_999_999_999_999_999_999})


@dataclass(frozen=True, kw_only=True)
class Told:
    size: PositiveInt
    name: str | None = None


def test_a_dataclass_is_a_signature():
    def command(settings: Told) -> int: ...

    assert settings_of(command) is Told
    assert check_arguments(Told, {"size": "1_000", "name": 7}) == {"size": 1000, "name": "7"}
    with refused("size=0", 1):
        check_arguments(Told, {"size": 0})
    with refused("'siez'", "size"):
        check_arguments(Told, {"siez": 1})


@dataclass(frozen=True, kw_only=True)
class Framed:
    crop: Literal["whole", "box"]
    margin: Annotated[Positive | None, Needs("crop", "box"), Needs("/command", ("a", "b"))] = None
    layout: Annotated[dict, GroupOf(Told)]


def test_marks_are_found_and_change_nothing_of_what_a_setting_takes():
    assert [needs.keys for needs in marks_of(Framed, Needs)["margin"]] == ["crop", "/command"]
    assert marks_of(Framed, Needs)["crop"] == []
    assert marks_of(Framed, GroupOf)["layout"] == [GroupOf(Told)]
    assert describe_parameters(Framed)["margin"] == "a number above 0 or null"
    assert check_arguments(Framed, {"margin": None, "layout": {}}) == {"margin": None, "layout": {}}
    with refused("margin="):
        check_arguments(Framed, {"margin": 0})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("25m", 1500),
        ("1h30m", 5400),
        ("2h", 7200),
        ("1h1m1s", 3661),
        ("0.5h", 1800),
        (" 90 ", 90),
        (90, 90),
        (1.5, 1.5),
        ("2h0m", 7200),
    ],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", ".", "h", "soon", "0", "0m", "-5m", "1d", "30m2h", "5 m", "1.2.3s", "1:30", "1h30", "nan"],
)
def test_what_is_no_duration(text):
    """The 30 of "1h30" is minutes to most people, and a plain number is seconds."""
    with pytest.raises(ValueError):
        parse_duration(text)
