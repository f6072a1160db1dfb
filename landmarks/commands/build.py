"""Objects from config nodes, and models from checkpoints."""

import functools
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from hydra.utils import get_object
from omegaconf import OmegaConf

from landmarks.errors import UserError
from landmarks.layout import Layout
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


def choose_layout(node: dict, num_points: int) -> Layout:
    """Return the configured layout; for "auto" the one that has this number of points.

    Raises:
        UserError: if the named layout has another number of points.
    """
    if node["name"] == "auto":
        for file in sorted(files("landmarks.configs.layout").iterdir(), key=lambda f: f.name):
            if file.name.endswith(".yaml"):
                known = OmegaConf.to_container(OmegaConf.create(file.read_text()))
                if known.get("num_points") == num_points:
                    return Layout(**known)
    if "num_points" not in node:
        return Layout("none", num_points)
    if node["num_points"] != num_points:
        raise UserError(
            f"layout={node['name']} has {node['num_points']} points and the data has "
            f"{num_points}: use layout=auto or layout=none."
        )
    return Layout(**node)


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
    if "weights" in arguments:
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
