"""Optimisers over a model's parameters: torch's own, with decay where it belongs."""

import torch
from torch import nn

from landmarks.settings import NonNegative, Positive, Share


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Split the parameters: weights decay, norms and biases (fewer than two axes) do not."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def adamw(
    model: nn.Module,
    *,
    lr: Positive,
    weight_decay: NonNegative = 0.01,
    beta1: Share = 0.9,
    beta2: Share = 0.999,
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019): decay apart from the gradient."""
    groups = parameter_groups(model, weight_decay)
    return torch.optim.AdamW(groups, lr=lr, betas=(beta1, beta2), fused=_can_fuse(model))


def adam(
    model: nn.Module,
    *,
    lr: Positive,
    weight_decay: NonNegative = 0.0,
    beta1: Share = 0.9,
    beta2: Share = 0.999,
    amsgrad: bool = False,
) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2015)."""
    groups = parameter_groups(model, weight_decay)
    return torch.optim.Adam(
        groups, lr=lr, betas=(beta1, beta2), amsgrad=amsgrad, fused=_can_fuse(model)
    )


def sgd(
    model: nn.Module,
    *,
    lr: Positive,
    weight_decay: NonNegative = 1e-4,
    momentum: Share = 0.9,
    nesterov: bool = False,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum."""
    groups = parameter_groups(model, weight_decay)
    nesterov = nesterov and momentum > 0
    return torch.optim.SGD(
        groups, lr=lr, momentum=momentum, nesterov=nesterov, fused=_can_fuse(model)
    )


def _can_fuse(model: nn.Module) -> bool:
    return next(model.parameters()).device.type in ("cuda", "cpu")
