"""What a checkpoint says of its model, which others may have written: checked, then believed."""

import inspect

import torch
from torch import Tensor

from landmarks.data.crops.boxes import BoxSource
from landmarks.errors import UserError
from landmarks.geometry import CropName
from landmarks.layout import Layout
from landmarks.runs.checkpoint import Checkpoint, is_plain
from landmarks.settings import InputSize, NonNegative, check_arguments

LONGEST = 10**12  # more steps, epochs or seconds than anybody trains


def check_claims(checkpoint: Checkpoint) -> None:
    """Check what a checkpoint whose model could be made says besides, where it is believed.

    Raises:
        UserError: naming what is not as a training writes it.
    """
    count = checkpoint.num_points
    if not _is_layout(checkpoint.layout, count):
        raise UserError(f"The checkpoint's layout is none of its {count} points; use another.")
    if checkpoint.flip is not None and not _is_flip(checkpoint.flip, count):
        raise UserError(
            f"The checkpoint's flip permutation is none of its {count} points; use another."
        )
    if not _are_points(checkpoint.unlabelled, count):
        raise UserError(f"The checkpoint's unlabelled points are none of its {count}; use another.")
    if not _are_places(checkpoint.places):
        raise UserError("The checkpoint's places of landmarks are none; use another.")
    metrics = checkpoint.metrics
    told = [metrics.get("epoch"), metrics.get("val_mse")] if isinstance(metrics, dict) else [None]
    if metrics != {} and not all(isinstance(number, int | float) for number in told):
        raise UserError("The checkpoint's metrics are none that a training writes; use another.")


def check_settings(config: dict) -> None:
    """Check the settings of a checkpoint that a model is used with.

    Raises:
        UserError: naming the setting.
    """
    used = (*inspect.signature(_used).parameters, "model", "data")
    missing = [name for name in used if name not in config]
    if missing:
        raise UserError(f"The checkpoint names no {missing[0]}; use another.")
    check_arguments(_used, {name: config[name] for name in used[:-2]})
    for name in used[-2:]:
        if not isinstance(config[name], dict):
            raise UserError(f"The checkpoint's {name} is no group of settings; use another.")


def check_shapes(own: dict[str, Tensor], weights: dict[str, Tensor]) -> None:
    """Check that a checkpoint's weights are those of a model, `own`, by name and shape.

    Raises:
        UserError: if they do not.
    """
    shapes = {name: tuple(value.shape) for name, value in own.items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    wrong = sorted(key for key in shapes.keys() | found.keys() if shapes.get(key) != found.get(key))
    if wrong:
        name = wrong[0]
        raise UserError(
            f"The checkpoint's weights do not fit its own model: {name} is {found.get(name)}, not "
            f"{shapes.get(name)}."
        )


def check_progress(state: dict) -> None:
    """Check the counts of a training that is to go on.

    Raises:
        KeyError, TypeError, ValueError: for one that no training has.
    """
    counts = dict.fromkeys(("epoch", "batch", "step", "total_steps", "planned_at"), (int,))
    for name, kinds in {**counts, "seconds": (int, float)}.items():
        value = state[name]
        if type(value) not in kinds or not 0 <= value < LONGEST:
            raise ValueError(f"{name}={value}")
    history = state["history"]
    if not is_plain(history, list) or not all(isinstance(row, dict) for row in history):
        raise ValueError("its history is no table")


def check_memory_of(optimizer: torch.optim.Optimizer) -> None:
    """Check that what an optimiser remembers has its parameters' shapes.

    Raises:
        ValueError: if it has not.
    """
    for parameter, kept in optimizer.state.items():
        for name, value in kept.items():
            if isinstance(value, Tensor) and value.ndim and value.shape != parameter.shape:
                raise ValueError(f"{name} is {tuple(value.shape)}, not {tuple(parameter.shape)}")


def _used(
    *,
    input_size: InputSize,
    crop: CropName,
    box_margin: NonNegative,
    box_from: BoxSource,
    flip_test: bool,
    pictured_region: str,
) -> None: ...


def _is_layout(node: object, count: int) -> bool:
    try:
        layout = Layout(**node)
        if layout.num_points == count:
            layout.flip_permutation()
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, UserError):
        return False
    return layout.num_points == count and isinstance(layout.name, str)


def _is_flip(flip: object, count: int) -> bool:
    """Say whether it pairs the points: a list of them, each the other one's other one."""
    if not _are_points(flip, count) or len(flip) != count:
        return False
    return all(flip[flip[point]] == point for point in range(count))


def _are_places(places: object) -> bool:
    if places is None:
        return True
    if not isinstance(places, dict):
        return False
    sides, center = [places.get("side"), places.get("side_spread")], places.get("center")
    spread = places.get("center_spread")
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in (center, spread)):
        return False
    shown = places.get("shown", [1, 1])
    if not (isinstance(shown, list) and len(shown) == 2):
        return False
    numbers = [*sides, *center, *spread, *shown]
    return (
        all(isinstance(n, int | float) and abs(n) < 100 for n in numbers)
        and min(sides[0], *shown) > 0
    )


def _are_points(listed: object, count: int) -> bool:
    return isinstance(listed, list) and all(
        isinstance(point, int) and 0 <= point < count for point in listed
    )
