"""Optimisers over a model's parameters: torch's own, with decay where it belongs."""

from typing import Annotated

import torch
from torch import nn

from landmarks.errors import UserError
from landmarks.settings import ABOVE_ZERO, Factor, Needs, NonNegative, Positive, Rule, Share

_TRAINED = Rule(lambda freeze: freeze != "backbone", "other than backbone")
BackboneFactor = Annotated[Factor, Needs("/model.freeze", _TRAINED)]


def parameter_groups(
    model: nn.Module,
    lr: float,
    weight_decay: float,
    backbone_lr_scale: float = 1.0,
    layer_decay: float = 1.0,
) -> list[dict]:
    """Split the trained parameters by rate and decay, groups of the highest rate first.

    Weights decay, norms and biases (fewer than two axes) do not.

    Args:
        model: its `parameters_by_stage()` are the backbone's, first stage first; they are asked for
            where rates differ.
        lr: the rate of all that is not of the backbone.
        backbone_lr_scale: times lr: the rate of the backbone's last stage.
        layer_decay: times the next stage's rate: that of each earlier one. Source: Clark et al.,
            ELECTRA, ICLR 2020, there layer by layer.

    Raises:
        UserError: if rates are to differ between stages and there is one alone.
    """
    alike = backbone_lr_scale == layer_decay == 1
    stages = [] if alike else model.parameters_by_stage()
    if layer_decay != 1 and len(stages) < 2:
        raise UserError(
            f"optimizer.layer_decay={layer_decay} sets the stages of a backbone apart, and this "
            f"one has a single stage: use optimizer.backbone_lr_scale."
        )
    factors = {
        id(parameter): backbone_lr_scale * layer_decay**behind
        for behind, stage in enumerate(reversed(stages))
        for parameter in stage
    }
    groups: dict[tuple[float, bool], list] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            key = factors.get(id(parameter), 1.0), parameter.ndim >= 2
            groups.setdefault(key, []).append(parameter)
    return [
        {"params": groups[key], "lr": lr * key[0], "weight_decay": weight_decay if key[1] else 0.0}
        for key in sorted(groups, reverse=True)
    ]


def adamw(
    model: nn.Module,
    *,
    lr: Positive,
    weight_decay: NonNegative = 0.01,
    backbone_lr_scale: BackboneFactor = 1.0,
    layer_decay: BackboneFactor = 1.0,
    beta1: Share = 0.9,
    beta2: Share = 0.999,
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019): decay apart from the gradient.

    Args:
        lr, weight_decay, backbone_lr_scale, layer_decay: see `parameter_groups`; here and below.
    """
    groups = parameter_groups(model, lr, weight_decay, backbone_lr_scale, layer_decay)
    return torch.optim.AdamW(groups, lr=lr, betas=(beta1, beta2), fused=_can_fuse(model))


def adam(
    model: nn.Module,
    *,
    lr: Positive,
    weight_decay: NonNegative = 0.0,
    backbone_lr_scale: BackboneFactor = 1.0,
    layer_decay: BackboneFactor = 1.0,
    beta1: Share = 0.9,
    beta2: Share = 0.999,
    amsgrad: bool = False,
) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2015)."""
    groups = parameter_groups(model, lr, weight_decay, backbone_lr_scale, layer_decay)
    return torch.optim.Adam(
        groups, lr=lr, betas=(beta1, beta2), amsgrad=amsgrad, fused=_can_fuse(model)
    )


def sgd(
    model: nn.Module,
    *,
    lr: Positive,
    weight_decay: NonNegative = 1e-4,
    backbone_lr_scale: BackboneFactor = 1.0,
    layer_decay: BackboneFactor = 1.0,
    momentum: Share = 0.9,
    nesterov: Annotated[bool, Needs("momentum", ABOVE_ZERO)] = False,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum."""
    groups = parameter_groups(model, lr, weight_decay, backbone_lr_scale, layer_decay)
    nesterov = nesterov and momentum > 0
    return torch.optim.SGD(
        groups, lr=lr, momentum=momentum, nesterov=nesterov, fused=_can_fuse(model)
    )


def _can_fuse(model: nn.Module) -> bool:
    return next(model.parameters()).device.type in ("cuda", "cpu")
