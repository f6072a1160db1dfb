"""A loss whose gradient is computed together with its value, so that no tensors are kept."""

from collections.abc import Callable

import torch
from torch import Tensor


class PrecomputedGradient(torch.autograd.Function):
    """The scaled sum of losses of maps made by a last layer; see `with_gradient`."""

    @staticmethod
    def forward(ctx, compute, features, weight, bias):
        """Return the loss, a float32 scalar."""
        device = features.device.type
        dtype = features.dtype
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
        wanted = any(ctx.needs_input_grad)
        with torch.autocast(device, enabled=False):
            loss, scale, gradients = compute(features, weight, bias, dtype, wanted)
        if wanted:
            ctx.save_for_backward(*gradients)
            ctx.scale, ctx.dtypes = scale, (features.dtype, weight.dtype, bias.dtype)
        return loss * scale

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        """Scale the gradients that the forward pass computed."""
        scale = gradient * ctx.scale
        found = zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        return None, *((scale * value).to(dtype) for value, dtype in found)


def with_gradient(compute: Callable, features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return a loss, a float32 scalar, whose backward pass uses the gradients of `compute`.

    Args:
        compute: called once, without autocast and without a graph, as compute(features, weight,
            bias, dtype, wanted): `dtype` is that of the matrix products, `wanted` says whether a
            gradient is needed. Returns a sum of losses, the factor that turns the sum into the
            loss, and the sum's gradients, float32. These are with regard to features, weight and
            bias; None where none is needed.
        features: the last layer's input.
        weight, bias: the last layer's.
    """
    return PrecomputedGradient.apply(compute, features, weight, bias)
