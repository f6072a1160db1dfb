"""Setting types, and the check of configured values against the signature that receives them.

A signature is the only place where a setting's type and range are written down:

    def adamw(model, *, lr: Positive, weight_decay: NonNegative): ...

A command's settings are the fields of one frozen dataclass, which is such a signature.
"""

from landmarks.settings.setting_marks import GroupOf, Needs, Rule, Several, flat, flatten
from landmarks.settings.setting_types import (
    ABOVE_ZERO,
    DEVICES,
    GROUPED,
    AmpName,
    Count,
    DecoderName,
    DeviceName,
    Duration,
    Factor,
    Gpus,
    Graph,
    InputSize,
    NonNegative,
    Positive,
    PositiveInt,
    Probability,
    Range,
    Rounds,
    RunName,
    Share,
    Threads,
    Workers,
    check_arguments,
    describe_parameters,
    marks_of,
    parse_duration,
    settings_of,
)

__all__ = [
    "ABOVE_ZERO",
    "DEVICES",
    "GROUPED",
    "AmpName",
    "Count",
    "DecoderName",
    "DeviceName",
    "Duration",
    "Factor",
    "Gpus",
    "Graph",
    "GroupOf",
    "InputSize",
    "Needs",
    "NonNegative",
    "Positive",
    "PositiveInt",
    "Probability",
    "Range",
    "Rounds",
    "Rule",
    "RunName",
    "Several",
    "Share",
    "Threads",
    "Workers",
    "check_arguments",
    "describe_parameters",
    "flat",
    "flatten",
    "marks_of",
    "parse_duration",
    "settings_of",
]
