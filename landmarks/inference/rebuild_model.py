"""Models from checkpoints."""

import contextlib
import inspect

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from landmarks.errors import UserError
from landmarks.inference.check_checkpoint import check_settings, check_shapes
from landmarks.models.landmarker import Landmarker
from landmarks.runs.checkpoint import Checkpoint
from landmarks.runs.trusted_targets import trusted
from landmarks.settings import check_arguments


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
