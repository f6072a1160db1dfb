"""Checkpoints: tensors and plain JSON data, written in one piece."""

import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from landmarks.errors import UserError
from landmarks.files import replacing
from landmarks.runs.older_formats import update, update_settings

FORMAT = 8
FIRST = ("config", "num_points", "layout", "metrics", "weights")  # what every version wrote
UNFIT = (AttributeError, LookupError, RuntimeError, TypeError, UserError, ValueError)
MAX_DEPTH, MAX_VALUES = 16, 100_000  # of plain data


def refuse_inflated(path: Path) -> None:
    """Refuse an archive that is far larger in memory than on the disk.

    torch.save compresses nothing. A compressed file, or one that refers to the same bytes many
    times, can fill a machine's memory with a megabyte.

    Raises:
        UserError: naming the file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # torch's older form, safetensors, or no archive: the reader says so
    unpacked = sum(member.file_size for member in members)
    is_stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
    if not is_stored or unpacked > path.stat().st_size:
        raise UserError(
            f"{path} is compressed: {path.stat().st_size} bytes that become {unpacked} in memory. "
            f"torch.save compresses nothing, so this file is not read; write it with torch.save."
        )


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A trained model, all that is needed to use it, and what is needed to train it on.

    Attributes:
        config: the settings it was trained with, plain JSON data as in configs/train.yaml.
        num_points: K, the points it finds.
        layout: of them, the arguments of `landmarks.layout.Layout`.
        flip: the flip permutation, K ints; None: it was trained without one.
        unlabelled: which points, ints below K, no training face had a label of.
        places: where the face lies in the input, see `landmarks.data.crops.expected_face_place`;
            None: unknown.
        metrics: the row of metrics.csv that the weights are of; empty before the first epoch ends.
        weights: name -> tensor, on the CPU: the averaged model's, where there was one.
        training: the state of `landmarks.training.training_state.Training`; None: it cannot go on.
    """

    config: dict
    num_points: int
    layout: dict
    flip: list[int] | None
    unlabelled: list[int]
    metrics: dict
    weights: dict[str, Tensor]
    places: dict | None = None
    training: dict | None = None


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; see `landmarks.files.replacing`."""
    with replacing(path, sync=True) as part, part.open("wb") as file:
        try:
            torch.save({"format": FORMAT, **vars(checkpoint)}, file)
        except RuntimeError as error:  # how torch leaves a file that a signal has cut short
            if isinstance(error.__context__, KeyboardInterrupt):
                raise error.__context__ from None
            raise


def load_checkpoint(path: Path) -> Checkpoint:
    """Return a checkpoint as of today, tensors on the CPU; no code in it is run.

    What it says is as it was written: `landmarks.inference.rebuild_model` checks it before it
    is believed.

    Raises:
        UserError: if the file is not a checkpoint of this program, or of a later version.
    """
    content = _read(path)
    missing = [name for name in FIRST if name not in content]
    if missing:
        raise UserError(f"{path} is damaged: it holds no {missing[0]}; use another.")
    try:
        update(content)
    except UNFIT as error:
        raise UserError(f"{path} is damaged: it is not what an older version wrote.") from error
    return Checkpoint(**{field.name: content[field.name] for field in fields(Checkpoint)})


def load_config(path: Path) -> dict:
    """Return the settings in a checkpoint, without reading its tensors; see `load_checkpoint`."""
    return _read(path, mmap=True)["config"]


def _read(path: Path, mmap: bool = False) -> dict:
    if path.suffix.lower() == ".onnx" and path.is_file():
        raise UserError(
            f"{path} is an exported model, which is used and not trained on: name the .pt file or "
            f"the run that it was made of."
        )
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
    content["config"] = update_settings(content["config"], path)
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
        if depth > MAX_DEPTH or count > MAX_VALUES:  # or it holds itself
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


def random_state() -> dict:
    """Return the state of torch's random number generators (dropout draws from them)."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def restore_random_state(state: dict) -> None:
    """Go on drawing where `random_state` stood."""
    torch.set_rng_state(state["cpu"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
