"""Which code a checkpoint may name: what this program's own settings do, and nothing else."""

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pkgutil import resolve_name

import yaml

from landmarks.errors import UserError


def nodes_in(choice: object) -> list[dict]:
    """Return the nodes with a `_target_` of a group's choice: itself, or each of several in it."""
    if not isinstance(choice, dict):
        return []
    nodes = [choice] if "_target_" in choice else choice.values()
    return [node for node in nodes if isinstance(node, dict) and "_target_" in node]


@cache
def known_targets(group: str) -> frozenset[tuple[str, bool]]:
    """Return the (`_target_`, `_partial_`) that the program's own files have for a group."""
    configs = files("landmarks.configs")
    folder = configs.joinpath(group)
    if folder.is_dir():
        found = [file for file in folder.iterdir() if file.name.endswith(".yaml")]
        nodes = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in found]
    else:  # a group of one choice stands in the command's own file
        nodes = [yaml.safe_load(configs.joinpath("train.yaml").read_text(encoding="utf-8"))[group]]
    named = [node for choice in nodes for node in nodes_in(choice)]
    return frozenset((node["_target_"], node.get("_partial_", False)) for node in named)


def trusted(node: dict, group: str) -> Callable:
    """Return a saved node's target, if this program's own settings name it for that group.

    Raises:
        UserError: if they do not: a checkpoint must not be able to name other code.
    """
    name, partial = node.get("_target_"), node.get("_partial_", False)
    if (name, partial) not in list(known_targets(group)):  # a list: what is saved may be unhashable
        raise UserError(
            f"The checkpoint names '{name}', which is no {group} of landmarks; not used."
        )
    return resolve_name(name)
