"""Losses, elementwise, and the one reduction.

Every loss takes predictions and targets of one shape and returns the loss of each element. It
declares beside itself what it compares. Names are the papers' symbols.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from landmarks.distributed import collectives
from landmarks.errors import UserError
from landmarks.settings import Positive

Elementwise = Callable[[Tensor, Tensor], Tensor]  # prediction, target -> loss of each element
Domain = Literal["pixels", "maps"]
DOMAINS: dict[Domain, str] = {
    "pixels": "coordinates in input pixels",
    "maps": "cells of heatmaps, 0 to 1",
}


def compares(*domains: Domain) -> Callable[[Elementwise], Elementwise]:
    """Declare what a loss compares: coordinates in input pixels, or cells of maps in 0..1."""

    def declare(loss: Elementwise) -> Elementwise:
        loss.domains = domains
        return loss

    return declare


def check_domain(elementwise: Elementwise, domain: Domain) -> None:
    """Check that a loss is made for what a head compares.

    Args:
        elementwise: a loss of this module's kind, or a `functools.partial` of one.

    Raises:
        UserError: if it is not.
    """
    loss = getattr(elementwise, "func", elementwise)
    if domain not in loss.domains:
        made_for = " or ".join(DOMAINS[known] for known in loss.domains)
        raise UserError(
            f"loss={loss.__name__} is made for {made_for}, and this model compares "
            f"{DOMAINS[domain]}: choose another, such as loss=l1."
        )


@compares("pixels", "maps")
def mse(prediction: Tensor, target: Tensor) -> Tensor:
    """Squared error, elementwise."""
    return functional.mse_loss(prediction, target, reduction="none")


@compares("pixels", "maps")
def l1(prediction: Tensor, target: Tensor) -> Tensor:
    """Absolute error, elementwise."""
    return functional.l1_loss(prediction, target, reduction="none")


@compares("pixels", "maps")
def smooth_l1(prediction: Tensor, target: Tensor, *, beta: Positive = 1.0) -> Tensor:
    """Quadratic within `beta` (input pixels), linear beyond, elementwise."""
    return functional.smooth_l1_loss(prediction, target, reduction="none", beta=beta)


@compares("pixels", "maps")
def wing(
    prediction: Tensor, target: Tensor, *, w: Positive = 10.0, epsilon: Positive = 2.0
) -> Tensor:
    """Wing loss, elementwise; `w` and `epsilon` are input pixels.

    w ln(1 + |x| / epsilon) for |x| < w, |x| - C beyond, C such that it is continuous.

    Source: Feng et al., Wing Loss for Robust Facial Landmark Localisation, CVPR 2018, eq. 5.
    """
    x = (prediction - target).abs()
    c = w - w * math.log1p(w / epsilon)
    return torch.where(x < w, w * torch.log1p(x / epsilon), x - c)


@compares("maps")
def adaptive_wing(
    prediction: Tensor,
    target: Tensor,
    *,
    omega: Positive = 14.0,
    theta: Positive = 0.5,
    epsilon: Positive = 1.0,
    alpha: Positive = 2.1,
) -> Tensor:
    """Adaptive Wing loss for heatmaps, elementwise; targets lie in 0..1.

    omega ln(1 + (d / epsilon)^(alpha - y)) for d = |y - prediction| < theta, A d - C beyond, with
    A and C such that value and derivative are continuous.

    Source: Wang et al., Adaptive Wing Loss for Robust Face Alignment via Heatmap Regression, ICCV
    2019, eq. 3.
    """
    d = (prediction - target).abs()
    exponent = alpha - target
    # The derivative is written out: autograd would keep or recompute every intermediate tensor. So
    # d alone has a gradient. Beyond theta the loss continues as its own tangent. At d = 0, where a
    # power below one is infinitely steep, the derivative of |.| is 0.
    known = d.detach()
    curved = known.clamp(1e-6, theta)
    power = torch.exp(exponent * torch.log(curved / epsilon))
    derivative = omega * exponent * power / ((1 + power) * curved)
    return omega * torch.log1p(power) + derivative * (d - known.clamp(max=theta))


def masked_mean(elementwise, prediction: Tensor, target: Tensor) -> Tensor:
    """Return the mean loss over labelled elements, a float32 scalar.

    Args:
        elementwise: a loss of this module.
        prediction, target: one shape; NaN in the target marks what is not labelled.

    The mean makes the loss independent of the number of points. An element without label has
    neither loss nor gradient; if nothing is labelled the loss is zero. Of several processes each
    gets its share, see `landmarks.distributed.collectives.divisor`.
    """
    prediction = prediction.float()
    labelled = ~target.isnan()
    # Replaced before the loss is taken: 0 * NaN would put NaN into the gradient.
    target = torch.where(labelled, target, prediction.detach())
    losses = elementwise(prediction, target) * labelled
    return losses.sum() / collectives.divisor(labelled.sum())
