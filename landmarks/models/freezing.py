"""Freezing of pretrained backbones, and the norms of backbones."""

from collections.abc import Callable
from typing import Annotated, Literal

from torch import Tensor, nn
from torch.nn import functional

from landmarks.distributed import processes
from landmarks.errors import UserError
from landmarks.models.exact_batch_norm import ExactNorm
from landmarks.models.model_protocols import Backbone
from landmarks.settings import Needs, PositiveInt, Rule

Freeze = Literal["none", "backbone"] | PositiveInt  # a number: of first epochs
Norm = Literal["batch", "frozen", "group"]
SyncsNorms = Annotated[  # whether batch norms look at the batches of all ranks
    bool,
    Needs(
        "/gpus",
        Rule(lambda gpus: gpus not in (None, 1) or processes.world() > 1, ""),
        "several processes, such as gpus=2",
        off=(True,),
    ),
]
GROUPS = (32, 16, 8, 4, 2, 1)  # of a group norm


class FixedNorm(nn.Module):
    """A batch norm with the statistics of another one, fixed; its weight and bias are trained."""

    def __init__(self, norm: nn.BatchNorm2d):
        super().__init__()
        self.eps, self.weight, self.bias = norm.eps, norm.weight, norm.bias
        self.register_buffer("running_mean", norm.running_mean)
        self.register_buffer("running_var", norm.running_var)

    def forward(self, features: Tensor) -> Tensor:
        """Return the features (B, C, H, W), normalised channel by channel."""
        statistics = self.running_mean, self.running_var
        return functional.batch_norm(features, *statistics, self.weight, self.bias, eps=self.eps)


def group_norm(norm: nn.BatchNorm2d) -> nn.GroupNorm:
    """Return a group norm with a batch norm's weight and bias, trained for any batch size.

    32 groups as published, or fewer, so that groups are equal and have at least two channels: a
    channel that is normalised alone loses its strength.

    Source: Wu and He, Group Normalization, ECCV 2018.
    """
    channels = norm.num_features
    groups = next(n for n in GROUPS if channels % n == 0 and (channels >= 2 * n or n == 1))
    made = nn.GroupNorm(groups, channels, norm.eps)
    made.weight, made.bias = norm.weight, norm.bias
    return made


def settle_norms(backbone: Backbone, norm: Norm, synced: bool) -> None:
    """Replace the batch norms of a backbone, see `change_norms`; loaded weights are kept.

    Args:
        synced: those that are left look at the batches of all ranks, where there are several.
    """
    change_norms(backbone, norm)
    if synced:
        _replace(backbone, exact_norm)


def change_norms(backbone: Backbone, norm: Norm) -> None:
    """Replace the batch norms of a backbone; loaded weights are kept.

    Args:
        backbone: changed in place.
        norm: "batch" leaves all; "frozen" fixes the statistics of the encoder, see `FixedNorm`:
            only the encoder's are pretrained; "group" replaces all.

    Raises:
        UserError: if there is no batch norm to replace.
    """
    if norm == "batch":
        return
    if norm == "group":
        count = _replace(backbone, group_norm)
    else:
        count = _replace(backbone.pretrained(), FixedNorm)
    if count == 0:
        raise UserError(
            f"model.norm={norm} replaces batch norms, and this backbone has none (ConvNeXt and "
            f"Swin have layer norms, which do not look at the batch): use model.norm=batch."
        )


def exact_norm(norm: nn.BatchNorm2d) -> ExactNorm:
    """Return a batch norm over the batches of all ranks, of this one's own tensors."""
    made = ExactNorm(norm.num_features, norm.eps, norm.momentum)
    made.weight, made.bias = norm.weight, norm.bias
    for name, tensor in norm.named_buffers():
        made.register_buffer(name, tensor)
    return made.train(norm.training)


def _replace(network: nn.Module, make: Callable[[nn.BatchNorm2d], nn.Module]) -> int:
    count = 0
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, make(child))
                count += 1
    return count


def refuse_untrained(node: dict) -> None:
    """Refuse a model of random weights whose settings keep pretrained ones.

    Raises:
        UserError: if it freezes its backbone or the statistics of its norms.
    """
    for name, moving in (("freeze", ("none", "auto", False)), ("norm", ("batch", "group"))):
        if node.get(name, moving[0]) not in moving:
            raise UserError(
                f"model.{name}={node[name]} keeps a backbone's pretrained weights, but with "
                f"model.weights=none they are random: name weights, or a run with init=."
            )
