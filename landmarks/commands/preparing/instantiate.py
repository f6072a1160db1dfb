"""Objects from config nodes."""

import functools
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from hydra.utils import get_object
from omegaconf import OmegaConf

from landmarks.commands.preparing.group_choices import list_choices, read_choice
from landmarks.data.reading.find_format import refuse_image
from landmarks.errors import UserError
from landmarks.runs.trusted_targets import nodes_in


def build(node: dict, *positional, **known: Any) -> Any:
    """Call (or, with `_partial_`, prepare to call) a node's `_target_` with its arguments.

    Args:
        node: `_target_`, `_partial_` and arguments, already checked.
        positional, known: arguments that are known only now.
    """
    target = get_object(node["_target_"])
    if isinstance(node.get("root"), str):
        refuse_image(Path(node["root"]))
    arguments = {key: value for key, value in node.items() if not key.startswith("_")}
    if node.get("_partial_"):
        return functools.partial(target, *positional, **arguments, **known)
    return target(*positional, **arguments, **known)


def build_test(data: dict, otherwise: Callable[[str], None]) -> Any:
    """Return the test part of data; None where there is none, once `otherwise` is told why."""
    try:
        return build(data, part="test")
    except UserError as error:
        otherwise(str(error))
        return None


@functools.cache
def nodes_of(group: str) -> list[dict]:
    """Return what this program's own files choose for a group of settings, as they stand there."""
    nodes = [read_choice(f"{group}/{choice}") for choice in list_choices(group)]
    if not nodes:  # a group of one choice stands in the command's own file
        whole = files("landmarks.configs").joinpath("train.yaml").read_text()
        nodes = [OmegaConf.to_container(OmegaConf.create(whole), resolve=False).get(group)]
    return [node for choice in nodes for node in nodes_in(choice)]
