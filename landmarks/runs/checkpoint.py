"""Checkpoints: one dict of tensors and plain JSON data, written in one piece."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from landmarks.errors import UserError
from landmarks.files import replacing
from landmarks.runs.archive import refuse_inflated
from landmarks.runs.renames import rename_targets

FORMAT = 7
DEEPEST, MOST = 16, 100_000  # of plain data


def save_checkpoint(path: Path, content: dict) -> None:
    """Write a checkpoint so that `path` holds the old one or the new one, whatever happens.

    Raises:
        UserError: if it cannot be written.
    """
    with replacing(path, sync=True) as part, part.open("wb") as file:
        torch.save({"format": FORMAT, **content}, file)


def load_checkpoint(path: Path) -> dict:
    """Return a checkpoint's content, tensors on the CPU; no code in it is run.

    Raises:
        UserError: if the file is not a checkpoint of this program, or of a later version.
    """
    content = _read(path)
    if content["format"] < FORMAT:
        try:
            _update(content)
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError) as error:
            raise UserError(f"{path} is damaged: its tensors are not an older model's.") from error
    return content


def load_config(path: Path) -> dict:
    """Return the settings in a checkpoint, without reading its tensors.

    Raises:
        UserError: as `load_checkpoint`.
    """
    return _read(path, mmap=True)["config"]


def _read(path: Path, mmap: bool = False) -> dict:
    refuse_inflated(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except FileNotFoundError as error:
        raise UserError(f"There is no checkpoint {path}.") from error
    except Exception as error:  # torch raises half a dozen kinds for a file that is not its own
        raise UserError(
            f"{path} is damaged or not a checkpoint; use another (a run keeps best.pt and last.pt)."
        ) from error
    if not isinstance(content, dict) or not is_plain(content.get("config"), dict):
        content = {}
    if type(content.get("format")) is not int or content["format"] < 1:
        raise UserError(
            f"{path} holds no model of this program; bare weights go in with model.weights=FILE."
        )
    if content["format"] > FORMAT:
        raise UserError(f"{path} was written by a newer landmarks; update this one.")
    _check_sizes(content.get("weights", {}), path)
    content["config"] = _update_config(content["config"], path)
    return content


def is_plain(value: object, kind: type) -> bool:
    """Say whether a value is of that kind and plain JSON data, no more than settings are."""
    waiting, count = [(value, 0)] if isinstance(value, kind) else [(..., 0)], 0
    while waiting:
        (value, depth), count = waiting.pop(), count + 1
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            inner = list(value.values())
        elif isinstance(value, list):
            inner = value
        elif value is None or isinstance(value, str | int | float):
            inner = []
        else:
            return False
        if depth > DEEPEST or count > MOST:  # or it holds itself
            return False
        waiting += [(part, depth + 1) for part in inner]
    return True


def _check_sizes(weights: dict, path: Path) -> None:
    """Refuse weights that are none, or that count for more numbers than the file can hold."""
    tensors = list(weights.values()) if isinstance(weights, dict) else [None]
    if not all(isinstance(tensor, Tensor) for tensor in tensors):
        raise UserError(f"{path} is damaged: its weights are not tensors.")
    if sum(tensor.nbytes for tensor in tensors) > path.stat().st_size:
        raise UserError(f"{path} is damaged: its tensors are larger than the file.")


def _update(content: dict) -> None:
    """Turn an older model into one of today that predicts the same, in place.

    Until format 6 the error's column was named by its normaliser, val_nme_eyes or val_nme_box.
    Until format 5 settings named functions by where they stood then, see `runs.renames`.

    Until format 4 a regression's features were read as they are, as they still are where the mean
    that is to be subtracted is NaN; training goes on from there. Until format 3 a keypoint R-CNN
    looked for landmarks anywhere, as it does where its start is NaN. Until format 2 a regression
    saw averages of the features alone, so that what it sees now of their places counts for nothing;
    until format 1 it counted in halves of the input's side, not sixteenths. An optimizer's memory
    of such a head says nothing of this one, and is dropped.
    """
    weights, version = content.get("weights", {}), content["format"]
    state = content.get("training", {})
    rows = [content.get("metrics", {}), *state.get("history", [])]
    for row in rows:
        for name in [name for name in row if name.startswith("val_nme_")]:
            row["val_nme"] = row.pop(name)
    if version > 4:
        return
    for tensors in (weights, state.get("model", {}), state.get("ema", {}).get("weights", {})):
        _read_as_they_are(tensors, 1 if version > 2 else 3)
    if version < 4 and "head.predictor.weight" in weights:
        content.pop("training", None)
        landmarks = weights["head.predictor.weight"].shape[1]
        weights["head.start"] = torch.full((landmarks, 2), torch.nan)
    if version > 2:
        return
    for name in [name for name in weights if name.startswith("head.offsets.")]:
        content.pop("training", None)
        value, key = weights[name], name.removeprefix("head.offsets.")
        if version < 2:
            value = 8 * value
        if key == "weight":
            value = functional.pad(value, (0, 2 * value.shape[1]))
        weights[name] = value


def _update_config(config: dict, path: Path) -> dict:
    """Return older settings as today's: by today's names, without those that are gone."""
    config = rename_targets(config)
    model = config.get("model")
    if isinstance(model, dict):
        if model.get("basis", "none") != "none":
            raise UserError(
                f"{path} was trained with model.basis={model['basis']}, which this version no "
                f"longer has: use the version that wrote it, or train anew."
            )
        config["model"] = {k: v for k, v in model.items() if k not in ("basis", "components")}
    return config


def _read_as_they_are(weights: dict, pooled: int) -> None:
    """Add means that subtract nothing to older tensors, in place.

    Args:
        pooled: numbers a regression sees today for each one that these weights count.
    """
    if "head.offsets.weight" in weights:
        channels = pooled * weights["head.offsets.weight"].shape[1]
        weights["head.center.mean"] = torch.full((channels,), torch.nan)


def random_state() -> dict:
    """Return the state of torch's random number generators (dropout draws from them)."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def restore_random_state(state: dict) -> None:
    """Go on drawing where `random_state` stood."""
    torch.set_rng_state(state["cpu"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
