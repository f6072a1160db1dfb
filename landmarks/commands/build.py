"""Objects from config nodes, and models from checkpoints."""

import contextlib
import functools
import inspect
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import torch
from hydra.utils import get_object
from omegaconf import OmegaConf

from landmarks.commands.choices import list_choices, read_choice
from landmarks.commands.claims import check_settings, check_shapes
from landmarks.errors import UserError
from landmarks.models.landmarker import Landmarker
from landmarks.runs.checkpoint import Checkpoint
from landmarks.settings import check_arguments


def build(node: dict, *positional, **known: Any) -> Any:
    """Call (or, with `_partial_`, prepare to call) a node's `_target_` with its arguments.

    Args:
        node: `_target_`, `_partial_` and arguments, already checked.
        positional, known: arguments that are known only now.
    """
    target = get_object(node["_target_"])
    arguments = {key: value for key, value in node.items() if not key.startswith("_")}
    if node.get("_partial_"):
        return functools.partial(target, *positional, **arguments, **known)
    return target(*positional, **arguments, **known)


def describe_model(node: dict) -> str:
    """Return a model's node in words: "resnet18", "unet of resnet18", "classic_unet"."""
    name = node["_target_"].rpartition(".")[2]
    if "backbone" not in node:
        return name
    return node["backbone"] if name == "regressor" else f"{name} of {node['backbone']}"


def rebuild_model(checkpoint: Checkpoint, changes: dict | None = None) -> Landmarker:
    """Return the model of a checkpoint, with its weights, ready to predict.

    Args:
        changes: settings of the model in place of those it was trained with.

    Raises:
        UserError: if the checkpoint names code outside this package, does not fit its weights, or
            has no setting that is to be changed.
    """
    check_settings(checkpoint.config)
    node, count = checkpoint.config["model"], checkpoint.num_points
    if type(count) is not int or count < 1:
        raise UserError(f"The checkpoint has num_points={count}, which is no number of points.")
    for key, value in (changes or {}).items():
        if key not in node:
            raise UserError(
                f"{key}={value} is not a setting of this checkpoint's model, a "
                f"{describe_model(node)}: leave it out."
            )
        node = {**node, key: value}
    builder = trusted(node, "model")
    arguments = check_arguments(builder, node, "model")
    if "weights" in inspect.signature(builder).parameters:
        arguments["weights"] = "none"  # the checkpoint's own come next
    arguments |= {"num_points": count, "size": checkpoint.config["input_size"]}
    # On "meta" it takes no memory, however much is asked for; RegNets compute their widths there.
    with contextlib.suppress(NotImplementedError), torch.device("meta"):
        check_shapes(builder(**arguments).state_dict(), checkpoint.weights)
    model = builder(**arguments)
    check_shapes(model.state_dict(), checkpoint.weights)
    model.load_state_dict(checkpoint.weights)
    return model.eval()


@functools.cache
def nodes_of(group: str) -> list[dict]:
    """Return what this program's own files choose for a group of settings, as they stand there."""
    nodes = [read_choice(f"{group}/{choice}") for choice in list_choices(group)]
    if not nodes:  # a group of one choice stands in the command's own file
        whole = files("landmarks.configs").joinpath("train.yaml").read_text()
        nodes = [OmegaConf.to_container(OmegaConf.create(whole), resolve=False).get(group)]
    return [node for node in nodes if isinstance(node, dict) and "_target_" in node]


def trusted(node: dict, group: str) -> Callable:
    """Return a saved node's target, if this program's own settings name it for that group.

    Raises:
        UserError: if they do not: a checkpoint must not be able to name other code.
    """
    name, partial = node.get("_target_"), node.get("_partial_", False)
    known = [(other["_target_"], other.get("_partial_", False)) for other in nodes_of(group)]
    if (name, partial) not in known:
        raise UserError(
            f"The checkpoint names '{name}', which is no {group} of landmarks; not used."
        )
    return get_object(name)
