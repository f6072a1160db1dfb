"""Optimisers over a model's parameters: torch's own, with decay where it belongs."""

from dataclasses import astuple, dataclass
from typing import Annotated

import torch
from torch import nn

from landmarks.errors import UserError
from landmarks.settings import ABOVE_ZERO, Factor, Needs, NonNegative, Positive, Rule, Share, flat

_TRAINED = Rule(lambda freeze: freeze != "backbone", "other than backbone")
BackboneFactor = Annotated[Factor, Needs("/model.freeze", _TRAINED)]


@dataclass(frozen=True, kw_only=True)
class Rates:
    """The learning rate of each part of a model.

    Args:
        lr: the rate of all that is not of the backbone.
        backbone_lr_scale: times lr: the rate of the backbone's last stage.
        layer_decay: times the next stage's rate: that of each earlier one. Source: Clark et al.,
            ELECTRA, ICLR 2020, there layer by layer.
    """

    lr: Positive
    backbone_lr_scale: BackboneFactor = 1.0
    layer_decay: BackboneFactor = 1.0


@dataclass(frozen=True, kw_only=True)
class Betas:
    """What Adam keeps of the mean gradient, and of the mean squared gradient, at each step."""

    beta1: Share = 0.9
    beta2: Share = 0.999


def parameter_groups(model: nn.Module, rates: Rates, weight_decay: float) -> list[dict]:
    """Split the trained parameters by rate and decay, groups of the highest rate first.

    Weights decay, norms and biases (fewer than two axes) do not.

    Args:
        model: its `parameters_by_stage()` are the backbone's, first stage first; they are asked for
            where rates differ.

    Raises:
        UserError: if rates are to differ between stages and there is one alone.
    """
    layer_decay = rates.layer_decay
    alike = rates.backbone_lr_scale == layer_decay == 1
    stages = [] if alike else model.parameters_by_stage()
    if layer_decay != 1 and len(stages) < 2:
        raise UserError(
            f"optimizer.layer_decay={layer_decay} needs a backbone with several stages, and this "
            f"one has one: use optimizer.backbone_lr_scale."
        )
    factors = {
        id(parameter): rates.backbone_lr_scale * layer_decay**behind
        for behind, stage in enumerate(reversed(stages))
        for parameter in stage
    }
    groups: dict[tuple[float, bool], list] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            key = factors.get(id(parameter), 1.0), parameter.ndim >= 2
            groups.setdefault(key, []).append(parameter)
    return [
        {
            "params": groups[key],
            "lr": rates.lr * key[0],
            "weight_decay": weight_decay if key[1] else 0.0,
        }
        for key in sorted(groups, reverse=True)
    ]


@flat
def adamw(
    model: nn.Module,
    *,
    rates: Rates,
    weight_decay: NonNegative = 0.01,
    betas: Betas,
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019): decay apart from the gradient."""
    groups = parameter_groups(model, rates, weight_decay)
    return torch.optim.AdamW(groups, lr=rates.lr, betas=astuple(betas), fused=_can_fuse(model))


@flat
def adam(
    model: nn.Module,
    *,
    rates: Rates,
    weight_decay: NonNegative = 0.0,
    betas: Betas,
    amsgrad: bool = False,
) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2015)."""
    groups = parameter_groups(model, rates, weight_decay)
    return torch.optim.Adam(
        groups, lr=rates.lr, betas=astuple(betas), amsgrad=amsgrad, fused=_can_fuse(model)
    )


@flat
def sgd(
    model: nn.Module,
    *,
    rates: Rates,
    weight_decay: NonNegative = 1e-4,
    momentum: Share = 0.9,
    nesterov: Annotated[bool, Needs("momentum", ABOVE_ZERO)] = False,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum."""
    groups = parameter_groups(model, rates, weight_decay)
    nesterov = nesterov and momentum > 0
    return torch.optim.SGD(
        groups, lr=rates.lr, momentum=momentum, nesterov=nesterov, fused=_can_fuse(model)
    )


def _can_fuse(model: nn.Module) -> bool:
    return next(model.parameters()).device.type in ("cuda", "cpu")
