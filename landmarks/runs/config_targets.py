"""Which code a saved setting names by `_target_`: moved names are found, other code is refused."""

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pkgutil import resolve_name
from typing import Any

import yaml

from landmarks.errors import UserError

_READERS = ("coco", "ibug", "synthetic", "table", "thousand", "wflw")
_BUILDERS = ("classic_unet", "regressor", "unet")
_OPTIMIZERS = ("adam", "adamw", "sgd")
_SCHEDULES = {
    "Plateau": "Plateau",
    "constant": "Constant",
    "cosine": "Cosine",
    "one_cycle": "OneCycle",
}
MOVED = {  # a `_target_` of before -> today's
    "landmarks.runs.log.RunFiles": "landmarks.runs.loggers.RunFiles",
    "landmarks.training.scaling.Machine": "landmarks.training.scaling_model.Machine",
    "landmarks.augment.Augment": "landmarks.augment.augmentation.Augment",
    "landmarks.models.keypoint_rcnn.keypoint_rcnn": (
        "landmarks.models.keypoint_rcnn.detector.keypoint_rcnn"
    ),
    **{
        f"landmarks.data.{x}.read_faces": f"landmarks.data.formats.{x}.read_faces" for x in _READERS
    },
    **{f"landmarks.models.landmarker.{x}": f"landmarks.models.builders.{x}" for x in _BUILDERS},
    **{f"landmarks.optimizers.{x}": f"landmarks.training.optimizers.{x}" for x in _OPTIMIZERS},
    **{
        f"landmarks.{room}schedules.{old}": f"landmarks.training.schedules.{new}"
        for room in ("", "training.")
        for old, new in _SCHEDULES.items()
        if room == "" or old != new
    },
}


def rename_targets(settings: Any) -> Any:
    """Return settings, or a part of them, with every `_target_` by today's name."""
    if isinstance(settings, dict):
        renamed = {key: rename_targets(value) for key, value in settings.items()}
        target = settings.get("_target_")
        if isinstance(target, str):
            renamed["_target_"] = MOVED.get(target, target)
            if target in MOVED and ".schedules." in target:  # was called, and is built now
                renamed.pop("_partial_", None)
        return renamed
    if isinstance(settings, list):
        return [rename_targets(value) for value in settings]
    return settings


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
