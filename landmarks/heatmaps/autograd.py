"""A loss whose gradient is found together with its value, so that nothing is kept in between."""

from collections.abc import Callable

import torch
from torch import Tensor


class FoundGradient(torch.autograd.Function):
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
        """Scale what the forward pass found."""
        scale = gradient * ctx.scale
        found = zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        return None, *((scale * value).to(dtype) for value, dtype in found)


def with_gradient(compute: Callable, features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return a loss, a float32 scalar, that passes on the gradient which `compute` has found.

    Args:
        compute: called once, without autocast and without a graph, as compute(features, weight,
            bias, dtype, wanted) with the number format of the products and whether a gradient is
            wanted. Returns a sum of losses, the factor that makes it the loss, and the sum's
            gradients with regard to features, weight and bias (None where none is wanted), float32.
        features: what the maps are made of.
        weight, bias: of the layer that makes them.
    """
    return FoundGradient.apply(compute, features, weight, bias)
