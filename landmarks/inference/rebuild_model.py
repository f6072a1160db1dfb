"""A model rebuilt from a checkpoint, which others may have written: checked, then believed."""

import contextlib
import inspect

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from landmarks.data.crops.boxes import BoxSource
from landmarks.errors import UserError
from landmarks.geometry import CropName
from landmarks.layout import Layout
from landmarks.models.landmarker import Landmarker
from landmarks.runs.checkpoint import Checkpoint, is_plain
from landmarks.runs.config_targets import trusted
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
    arguments |= {"num_points": count, "input_size": checkpoint.config["input_size"]}
    model = None
    # On "meta" it takes no memory, however much is asked for; RegNets compute their widths there.
    with contextlib.suppress(NotImplementedError), torch.device("meta"):
        model = builder(**arguments)
        check_shapes(model.state_dict(), checkpoint.weights)
    if model is not None and _is_its_weights(model):
        model.to_empty(device="cpu")
    else:
        model = builder(**arguments)
        check_shapes(model.state_dict(), checkpoint.weights)
    model.load_state_dict(checkpoint.weights)
    return model.eval()


def _is_its_weights(model: Landmarker) -> bool:
    """Say whether a model holds no tensors but its weights, such as a detector's anchors."""
    weights = {id(tensor) for tensor in model.state_dict(keep_vars=True).values()}
    held = (value for module in model.modules() for value in tree_leaves(vars(module)))
    return all(id(value) in weights for value in held if isinstance(value, Tensor))


def choose_flip(checkpoint: Checkpoint, flip_test: bool | None) -> Tensor | None:
    """Return the flip permutation (K,) to predict mirror images with, or None to leave them out.

    Args:
        flip_test: None: as the checkpoint was validated.

    Raises:
        UserError: if they are asked for and nothing is known of the faces' symmetry.
    """
    wanted = checkpoint.config["flip_test"] if flip_test is None else flip_test
    if flip_test and checkpoint.flip is None:
        raise UserError(
            "flip_test=true: the checkpoint knows no flip permutation of its points, as its "
            "training faces bore none out or none was looked for; leave it out."
        )
    return torch.tensor(checkpoint.flip) if wanted and checkpoint.flip is not None else None


def describe_model(node: dict) -> str:
    """Return a model's node in words: "resnet18", "unet of resnet18", "classic_unet"."""
    name = node["_target_"].rpartition(".")[2]
    if "backbone" not in node:
        return name
    return node["backbone"] if name == "regressor" else f"{name} of {node['backbone']}"
