"""Checkpoints that older versions wrote, brought up to date: all that was otherwise stands here."""

import re
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from landmarks.errors import UserError
from landmarks.layout import Layout
from landmarks.runs.config_targets import rename_targets

# Settings that came after the first version, and what runs did before there were any. Those of a
# group (model.refine) do as before by the default in the signature that receives them.
LATER = {
    "augment": {"_target_": "landmarks.augment.augmentation.Augment"},
    "box_margin": 0.0,
    "box_from": "data",
    "flip_test": False,
    "logger": {},
    "pictured_region": "auto",
    "report": False,
    "kfold": None,
    "fold": None,
    "threads": "auto",
    "graph": "auto",
    "patience": None,
    "search": None,
    "init": None,
    "gpus": 1,
}
# Readers without a setting of EXIF: it says nothing, or each set has its own.
UNTURNED = tuple(
    f"landmarks.data.formats.{name}.read_faces"
    for name in ("synthetic", "facial_keypoints", "several", "shards")
)


def update_settings(settings: dict, path: Path) -> dict:
    """Return a run's settings by today's names, with those that have come since as they were.

    Raises:
        UserError: naming the checkpoint, if a model of today cannot do what they say.
    """
    updated = {**LATER, **rename_targets(settings)}
    tensorboard = {"_target_": "landmarks.runs.tensorboard.TensorBoard"}
    if updated.pop("tensorboard", False) or updated["logger"] == tensorboard:
        updated["logger"] = {"tensorboard": tensorboard}
    if updated["logger"] == {"_target_": "landmarks.runs.loggers.Logger"}:  # which there was one of
        updated["logger"] = {}
    if re.fullmatch(r"\s*[\d.]+\s*", str(updated.get("max_time"))):  # seconds, without a unit
        updated["max_time"] = f"{updated['max_time']}s".replace(" ", "")
    data, model = updated.get("data"), updated.get("model")
    if isinstance(data, dict) and data.get("_target_") not in UNTURNED:
        updated["data"] = {"exif": "rotate", **data}
    if isinstance(model, dict):
        if model.get("basis", "none") != "none":
            raise UserError(
                f"{path} was trained with model.basis={model['basis']}, which this version no "
                f"longer has: use the version that wrote it, or train anew."
            )
        updated["model"] = {k: v for k, v in model.items() if k not in ("basis", "components")}
    return updated


def update(content: dict) -> None:
    """Turn a checkpoint into one of today that predicts the same, in place.

    Until format 7 nothing said where the landmarks lie in the input.

    Until format 6 the error's column was named by its normaliser, val_nme_eyes or val_nme_box.

    Until format 5 settings named functions by where they stood then, see `runs.config_targets`;
    some wrote no flip permutation, where the layout's was believed, and not which points had no
    labels.

    Until format 4 a regression's features were read as they are, as they still are where the mean
    that is to be subtracted is NaN; training goes on from there. Until format 3 a keypoint R-CNN
    looked for landmarks anywhere, as it does where its start is NaN. Until format 2 a regression
    saw averages of the features alone, so that what it sees now of their places counts for nothing;
    until format 1 it counted in halves of the input's side, not sixteenths. An optimizer's memory
    of such a head says nothing of this one, and is dropped.

    Args:
        content: has everything that every version wrote, its settings as of today.

    Raises:
        ValueError and others: if it does not hold together.
    """
    content.setdefault("unlabelled", [])
    content.setdefault("training", None)
    content.setdefault("places", None)
    if "flip" not in content:
        content["flip"] = _flip_of(content["layout"], content["weights"])
    _update_tensors(content)
    for row in [content["metrics"], *(content["training"] or {}).get("history", [])]:
        values = {("val_nme" if "val_nme_" in name else name): row[name] for name in row}
        row.clear()
        row.update(values)  # in its columns' order
    if content["training"] is not None:  # it was planned once, when it began
        plan = {"planned_at": 0, "planned_from": 0.0, "schedule": {}}
        content["training"] = {**plan, **content["training"]}


def _flip_of(layout: dict, weights: dict[str, Tensor]) -> list[int] | None:
    named = Layout(**layout)
    if named.num_points > sum(tensor.numel() for tensor in weights.values()):
        raise ValueError(f"no model finds {named.num_points} points with so few weights")
    known = named.flip_permutation()
    return None if known is None else known.tolist()


def _update_tensors(content: dict) -> None:
    weights, version = content["weights"], content["format"]
    state = content["training"] or {}
    if version > 4:
        return
    for tensors in (weights, state.get("model", {}), state.get("ema", {}).get("weights", {})):
        _read_as_they_are(tensors, 1 if version > 2 else 3)
    if version < 4 and "head.predictor.weight" in weights:
        content["training"] = None
        landmarks = weights["head.predictor.weight"].shape[1]
        weights["head.start"] = torch.full((landmarks, 2), torch.nan)
    if version > 2:
        return
    for name in [name for name in weights if name.startswith("head.offsets.")]:
        content["training"] = None
        value, key = weights[name], name.removeprefix("head.offsets.")
        if version < 2:
            value = 8 * value
        if key == "weight":
            value = functional.pad(value, (0, 2 * value.shape[1]))
        weights[name] = value


def _read_as_they_are(weights: dict, pooled: int) -> None:
    """Add means that subtract nothing to older tensors, in place.

    A regression sees `pooled` numbers today for each one that these weights count.
    """
    if "head.offsets.weight" in weights:
        channels = pooled * weights["head.offsets.weight"].shape[1]
        weights["head.center.mean"] = torch.full((channels,), torch.nan)
