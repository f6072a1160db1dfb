"""Settings that several functions share, and settings of groups, one by one."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass


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
