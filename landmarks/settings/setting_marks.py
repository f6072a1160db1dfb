"""Marks of a setting beside its type: which values it takes, and which settings it depends on."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any


@dataclass(frozen=True)
class Rule:
    """A condition on a value, the condition in words, and known choices for mistyped words.

    `why_not` says in a sentence why a value that seems right is none; "": it does not seem so.
    """

    holds: Callable[[Any], bool]
    says: str
    choices: Sequence[str] = ()
    why_not: Callable[[Any], str] = lambda value: ""


@dataclass(frozen=True)
class Needs:
    """Marks a setting that changes nothing unless another one is as it says.

        box_margin: Annotated[NonNegative, Needs("crop", "box")]

    Args:
        keys: of the other setting, which is one of the same group; "/crop" is one of no group and
            "/model.weights" one of another; of several, one is enough. "/command" is the command.
        wanted: its value, several of which one is enough, or a rule that it keeps.
        says: all this in words, where "crop=box" or "crop" and the rule's words do not say it.
        off: values of the marked setting that ask for nothing, and are taken in any case.
    """

    keys: str | tuple[str, ...]
    wanted: Any
    says: str = ""
    off: tuple = (None, False, "none")

    def is_off(self, value: Any) -> bool:
        """Say whether a value of the marked setting asks for nothing. A number says how much."""
        return any(type(value) is type(off) and value == off for off in self.off)

    def holds(self, settings: Mapping[str, Any], group: str = "") -> bool:
        """Say whether `settings`, by whole keys, fulfil this; a missing one counts as None."""
        values = [settings.get(key) for key in self.whole(group)]
        if isinstance(self.wanted, Rule):
            return any(map(self.wanted.holds, values))
        return any(value in _several(self.wanted) for value in values)

    def say(self, group: str = "") -> str:
        """Return it in words."""
        if self.says:
            return self.says
        keys = " or ".join(self.whole(group))
        if isinstance(self.wanted, Rule):
            return f"{keys} {self.wanted.says}"
        values = ["null" if value is None else str(value) for value in _several(self.wanted)]
        wanted = " or ".join(values)
        return f"the command {wanted}" if keys == "command" else f"{keys}={wanted}"

    def whole(self, group: str = "") -> list[str]:
        inside = f"{group}." if group else ""
        keys = _several(self.keys)
        return [key[1:] if key.startswith("/") else f"{inside}{key}" for key in keys]


@dataclass(frozen=True)
class Several:
    """Marks a group whose choices stand side by side, each by its name: `logger.mlflow.uri`."""


@dataclass(frozen=True)
class GroupOf:
    """Marks a group of settings that names no `_target_`: a class or function that takes them."""

    taker: Callable


def _several(value: Any) -> tuple:
    return value if isinstance(value, tuple) else (value,)


def flatten(settings: dict, prefix: str = "") -> dict[str, object]:
    """Return {"group.setting": value} of all settings that are not groups themselves."""
    flat = {}
    for name, value in settings.items():
        inner = flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {}
        flat |= inner or {f"{prefix}{name}": value}
    return flat


def flat(function: Callable) -> Callable:
    """Let settings that several functions share stand in one dataclass, and be given one by one.

        @flat
        def read_faces(root: str, *, reading: Reading) -> Faces: ...

    is called as read_faces("data", limit=5): the fields of a parameter that is a dataclass (its
    `kw_only`) take its place in the signature.
    """
    own = inspect.signature(function).parameters
    groups = {name: p.annotation for name, p in own.items() if is_dataclass(p.annotation)}
    listed = []
    for name, parameter in own.items():
        group = groups.get(name)
        listed += [parameter] if group is None else inspect.signature(group).parameters.values()

    @functools.wraps(function)
    def call(*args, **given):
        for name, group in groups.items():
            shared = {f.name: given.pop(f.name) for f in fields(group) if f.name in given}
            given[name] = group(**shared)
        return function(*args, **given)

    call.__signature__ = inspect.Signature(listed)
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in listed}
    return call
