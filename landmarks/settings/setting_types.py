"""Types of settings, and the check of configured values against the signature that takes them."""

import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

from landmarks.errors import UserError, did_you_mean
from landmarks.settings.setting_marks import Needs, Rule

ABOVE_ZERO = Rule(lambda v: v is not None and v > 0, "above 0")
PositiveInt = Annotated[int, Rule(lambda v: v >= 1, "a whole number of at least 1")]
Count = Annotated[int, Rule(lambda v: v >= 0, "a whole number of at least 0")]
InputSize = Annotated[
    int, Rule(lambda v: 16 <= v <= 8192, "a whole number of pixels, at least 16 and at most 8192")
]
Rounds = Annotated[int, Rule(lambda v: 0 <= v <= 100, "a whole number from 0 to 100")]
Positive = Annotated[float, Rule(lambda v: v > 0, "a number above 0")]
NonNegative = Annotated[float, Rule(lambda v: v >= 0, "a number of at least 0")]
Share = Annotated[float, Rule(lambda v: 0 <= v < 1, "a number from 0 up to, not including, 1")]
Factor = Annotated[float, Rule(lambda v: 0 < v <= 1, "a number above 0 and at most 1")]
Probability = Annotated[float, Rule(lambda v: 0 <= v <= 1, "a number from 0 to 1")]
DEVICES = ("auto", "cuda", "cpu", "mps")
DeviceName = Annotated[
    str,
    Rule(
        lambda name: name in DEVICES,
        " or ".join(DEVICES),
        DEVICES,
        lambda name: (
            "One of several GPUs is chosen by CUDA_VISIBLE_DEVICES=NUMBER before the command; "
            "without a GPU use device=cpu."
            if name.startswith("cuda:")
            else ""
        ),
    ),
]
AmpName = Literal["auto", "bf16", "fp16", "off"]
Graph = bool | Literal["auto"]
DecoderName = Literal["argmax", "weighted", "local", "dark"]  # of heatmaps
Workers = Literal["auto"] | Count
Threads = Literal["auto"] | PositiveInt
Gpus = Literal["auto"] | PositiveInt
Range = Annotated[
    list,
    Rule(
        lambda v: len(v) == 2 and all(type(x) in (int, float) and x > 0 for x in v),
        "two numbers above 0, [first, last]",
    ),
]
RunName = Annotated[
    str | None,
    Needs("/run_dir", Rule(lambda place: "${name}" in place, ""), "a run_dir that ends in it"),
]
MAX_INTEGER = 2**63 - 1  # whole number that torch takes
GROUPED = re.compile(r"[+-]?\d+(_\d+)+")  # 100_000, and a name such as 2024_06


def parse_duration(text: str | float) -> float:
    """Return the seconds in "90s", "25m", "1h30m", "2h" or a plain number of seconds.

    Raises:
        ValueError: if the text is none of these or not above zero.
    """
    match = re.fullmatch(r"(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s)?|([\d.]+)", str(text).strip())
    if not match or not any(match.groups()):
        raise ValueError(text)
    hours, minutes, seconds, plain = (float(group or 0) for group in match.groups())
    total = 3600 * hours + 60 * minutes + seconds + plain
    if total <= 0:
        raise ValueError(text)
    return total


def _is_duration(text: Any) -> bool:
    try:
        parse_duration(text)
    except ValueError:
        return False
    return not _is_bare(text)


def _is_bare(text: Any) -> bool:
    """Say whether a text is a number without a unit: it may be meant as hours."""
    return re.fullmatch(r"\s*[\d.]+\s*", str(text)) is not None


def _name_units(text: str) -> str:
    number = text.strip()
    return f"Give it a unit: {number}s, {number}m or {number}h." if _is_bare(text) else ""


Duration = Annotated[
    str, Rule(_is_duration, 'a duration such as "90s", "25m" or "2h"', (), _name_units)
]


def check_arguments(function: Callable, values: Mapping[str, Any], where: str = "") -> dict:
    """Check configured values against the parameters that receive them.

    Args:
        function: a function or class with annotated parameters.
        values: argument names and values; names that start with "_" are Hydra's own.
        where: the key that holds these values ("model"), for messages.

    Returns:
        The values, with numbers turned into text where the parameter is text, and text such as
        100_000 into a number where it is none.

    Raises:
        UserError: naming the key, for an unknown key or a value of the wrong type or range.
    """
    hints = _hints(function)
    known = [name for name in inspect.signature(function).parameters if name in hints]
    checked = {}
    for name, value in values.items():
        if name.startswith("_"):
            continue
        key = f"{where}.{name}" if where else name
        if name not in known:
            raise UserError(f"There is no setting '{key}'.{did_you_mean(name, known)}")
        wanted = hints[name]
        if isinstance(value, str) and GROUPED.fullmatch(value) and str not in _kinds(wanted):
            value = int(value)
        if type(value) is int and abs(value) > MAX_INTEGER:
            raise UserError(f"{key}={value} is too large: {key} takes at most {MAX_INTEGER}.")
        if not _fits(value, wanted):
            hint = _advise(value, wanted) if isinstance(value, str) else _reason(value, wanted)
            raise UserError(f"{key}={value} does not fit: {key} takes {_describe(wanted)}.{hint}")
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        checked[name] = str(value) if is_number and not _takes_number(wanted) else value
    return checked


def settings_of(command: Callable) -> type:
    """Return the dataclass of settings that a command takes as its one argument."""
    return typing.get_type_hints(command)["settings"]


def describe_parameters(function: Callable) -> dict[str, str]:
    """Return what each annotated parameter of a function or class takes, in words."""
    return {name: _describe(hint) for name, hint in _hints(function).items()}


def marks_of(function: Callable, kind: type) -> dict[str, list]:
    """Return the marks of a kind, `Needs` or `GroupOf`, of each annotated parameter."""
    return {
        name: [mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, kind)]
        for name, hint in _hints(function).items()
    }


def _hints(function: Callable) -> dict[str, Any]:
    annotated = function.__init__ if inspect.isclass(function) else function
    hints = typing.get_type_hints(annotated, include_extras=True)
    hints.pop("return", None)
    return hints


def _parts(annotation: Any) -> tuple:
    """The alternatives of a union, or the annotation alone, without marks that are no rules."""
    if get_origin(annotation) is Annotated and not _rules(annotation):
        return _parts(get_args(annotation)[0])
    if get_origin(annotation) in (types.UnionType, typing.Union):
        return get_args(annotation)
    return (annotation,)


def _rules(annotation: Any) -> list[Rule]:
    return [mark for mark in get_args(annotation)[1:] if isinstance(mark, Rule)]


def _fits(value: Any, annotation: Any) -> bool:
    if len(_parts(annotation)) > 1:
        return any(_fits(value, part) for part in _parts(annotation))
    (annotation,) = _parts(annotation)
    origin = get_origin(annotation)
    if origin is Annotated:
        fits_kind = _fits(value, get_args(annotation)[0])
        return fits_kind and all(rule.holds(value) for rule in _rules(annotation))
    if origin is Literal:
        return any(
            value == choice and type(value) is type(choice) for choice in get_args(annotation)
        )
    if annotation is Any:
        return True
    if annotation in (None, types.NoneType):
        return value is None
    if annotation is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and math.isfinite(value)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if annotation is str:
        return isinstance(value, str | int | float) and not isinstance(value, bool)
    if origin in (list, dict):
        return isinstance(value, origin)
    return isinstance(value, annotation)


def _kinds(annotation: Any) -> set:
    return {
        get_args(part)[0] if get_origin(part) is Annotated else part for part in _parts(annotation)
    }


def _takes_number(annotation: Any) -> bool:
    kinds = _kinds(annotation)
    return str not in kinds or bool(kinds & {int, float})


def _advise(value: str, annotation: Any) -> str:
    return _reason(value, annotation) or did_you_mean(value, _choices(annotation))


def _reason(value: Any, annotation: Any) -> str:
    rules = [rule for part in _parts(annotation) for rule in _rules(part)]
    return "".join(f" {reason}" for rule in rules if (reason := rule.why_not(str(value))))


def _choices(annotation: Any) -> list:
    found = []
    for part in _parts(annotation):
        if get_origin(part) is Literal:
            found += get_args(part)
        if get_origin(part) is Annotated:
            found += _rules(part)[0].choices
    return found


def _describe(annotation: Any) -> str:
    words = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}
    said = []
    for part in _parts(annotation):
        if get_origin(part) is Annotated:
            said.append(_rules(part)[0].says)
        elif get_origin(part) is Literal:
            said += [str(choice) for choice in get_args(part)]
        elif part in (None, types.NoneType):
            said.append("null")
        else:
            said.append(words.get(part, getattr(part, "__name__", str(part))))
    return " or ".join(said)
