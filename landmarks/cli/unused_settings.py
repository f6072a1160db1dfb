"""Refuse what a command line sets and that would change nothing, by `Needs` beside the setting."""

from collections.abc import Callable, Iterator

from hydra.utils import get_object

from landmarks.cli.command_line import parse
from landmarks.errors import UserError
from landmarks.settings import GroupOf, Needs, Several, flatten, marks_of


def refuse_idle(kind: Callable, settings: dict, words: list[str]) -> None:
    """Refuse a word that would change nothing, such as split.file=FILE without split.by=groups.

    Files of settings and sweeps may hold such settings; they are not words.

    Args:
        settings: all that the command is given, checked, and "command": its name.

    Raises:
        UserError: naming what has to be given beside it.
    """
    flat = flatten(settings)
    for override in parse(words):
        key = override.key_or_group
        if override.is_delete() or override.is_sweep_override():
            continue
        for group, needs in conditions(kind, settings, key):
            if not needs.is_off(override.value()) and not needs.holds(flat, group):
                raise UserError(
                    f"{override.input_line} changes nothing: it needs {needs.say(group)}. "
                    f"Otherwise leave it out."
                )


def conditions(kind: Callable, settings: dict, key: str) -> Iterator[tuple[str, Needs]]:
    """Yield what a setting needs to change anything, each with the group that it is told of."""
    group = key.partition(".")[0]
    for needs in marks_of(kind, Needs).get(group, []):
        yield "", needs
    for place, node in parts_of(kind, group, settings.get(group)).items():
        taker = taker_of(kind, place, node) if key.startswith(f"{place}.") else None
        for needs in marks_of(taker, Needs).get(key.removeprefix(f"{place}."), []) if taker else []:
            yield place, needs


def parts_of(kind: Callable, group: str, node: object) -> dict[str, object]:
    """Return a group's node by its key; of several side by side each one, as logger.mlflow."""
    if isinstance(node, dict) and marks_of(kind, Several).get(group):
        return {f"{group}.{name}": part for name, part in node.items()}
    return {group: node}


def taker_of(kind: Callable, group: str, node: object) -> Callable | None:
    """Return what takes a group's settings: its node's `_target_`, or what the command names."""
    if not isinstance(node, dict):
        return None
    if "_target_" in node:
        return get_object(node["_target_"])
    return next((mark.taker for mark in marks_of(kind, GroupOf).get(group, [])), None)
