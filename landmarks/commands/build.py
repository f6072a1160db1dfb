"""Objects from config nodes, and models from checkpoints."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from hydra.utils import get_object

from landmarks.errors import UserError
from landmarks.models.landmarker import Landmarker
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


def rebuild_model(content: dict, changes: dict | None = None) -> Landmarker:
    """Return the model of a checkpoint, with its weights, ready to predict.

    Args:
        changes: settings of the model in place of those it was trained with.

    Raises:
        UserError: if the checkpoint names code outside this package, does not fit its weights, or
            has no setting that is to be changed.
    """
    node = content["config"]["model"]
    for key, value in (changes or {}).items():
        if key not in node:
            raise UserError(
                f"{key}={value} is not a setting of this checkpoint's model, a "
                f"{describe_model(node)}: leave it out."
            )
        node = {**node, key: value}
    builder = trusted(node, "landmarks.models")
    arguments = check_arguments(builder, node, "model")
    if "weights" in inspect.signature(builder).parameters:
        arguments["weights"] = "none"  # the checkpoint's own come next
    model = builder(
        **arguments,
        num_points=content["num_points"],
        size=content["config"]["input_size"],
    )
    try:
        model.load_state_dict(content["weights"])
    except RuntimeError as error:
        raise UserError(
            f"The checkpoint's weights do not fit its own model: {str(error).splitlines()[-1]}"
        ) from error
    return model.eval()


def trusted(node: dict, package: str) -> Callable:
    """Return a saved node's target, if it is one of this package's own functions or classes.

    Raises:
        UserError: if it is not: a checkpoint must not be able to name other code.
    """
    name = str(node.get("_target_", ""))
    try:
        found = get_object(name) if name.startswith(f"{package}.") else None
    except Exception:  # get_object wraps whatever an import raises
        found = None
    home = str(getattr(found, "__module__", ""))
    if not callable(found) or not f"{home}.".startswith(f"{package}."):
        raise UserError(f"The checkpoint names '{name}', which is not part of {package}; not used.")
    return found
