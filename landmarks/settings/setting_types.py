"""Types of settings: numbers of a range, durations, names."""

import re
from typing import Annotated, Any, Literal

from landmarks.settings.setting_marks import Needs, Rule


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
Duration = Annotated[
    str, Rule(_is_duration, 'a duration such as "90s", "25m" or "2h"', (), _name_units)
]
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
