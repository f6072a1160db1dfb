"""Batch norms that look at the whole batch where several processes hold parts of it.

torch's own SyncBatchNorm refuses tensors of the CPU and is no BatchNorm2d, by which this program
knows what it freezes. This one does the same by torch's own kernels of a norm with given
statistics, on any device.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from landmarks.distributed import collectives


class SyncNorm(nn.BatchNorm2d):
    """A batch norm over the batches of all ranks; in evaluation as usual.

    On a CPU it adds up in float64: its digits do not depend on how a batch is parted. torch's own
    adds float32 numbers one after the other there, and is off by a hundred times their rounding.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Return the features (B, C, H, W), normalised channel by channel."""
        is_counted = type(features) is not Tensor  # a fake tensor: memory is being counted
        if not self.training or is_counted:
            return super().forward(features)
        normed, mean, variance, count = _Normalise.apply(features, self.weight, self.bias, self.eps)
        if self.track_running_stats:
            self.num_batches_tracked.add_(1)
            unbiased = variance * (count / (count - 1).clamp(min=1))
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(unbiased, self.momentum)
        return normed


class _Normalise(torch.autograd.Function):
    """Features, weight, bias, epsilon -> normalised features, and the mean, variance and count of
    a channel over all ranks."""

    @staticmethod
    def forward(ctx, features, weight, bias, eps):
        values = features.double() if features.device.type == "cpu" else features.float()
        variance, mean = torch.var_mean(values, (0, 2, 3), correction=0)
        count = mean.new_full((1,), values.numel() / len(mean))
        parts = collectives.stack(torch.cat([mean, variance, count]))
        means, variances, counts = parts.split([len(mean), len(mean), 1], 1)
        count = counts.sum()
        # From each rank's own mean: a difference of sums of squares would lose digits.
        mean = (counts * means).sum(0) / count
        variance = (counts * (variances + (means - mean) ** 2)).sum(0) / count
        mean, variance, count = mean.float(), variance.float(), count.float()
        given = weight, bias, False, 0.0, eps
        ctx.save_for_backward(features, weight, mean, variance, count)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance, count)
        return functional.batch_norm(features, mean, variance, *given), mean, variance, count

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient, *_):
        features, weight, mean, variance, count = ctx.saved_tensors
        scale = torch.rsqrt(variance + ctx.eps)
        wide = gradient.float()
        centred = features.float() - mean[:, None, None]
        to_bias = wide.sum((0, 2, 3))
        to_weight = (wide * centred).sum((0, 2, 3)) * scale
        # The statistics are functions of the features of all ranks.
        all_bias, all_weight = collectives.reduce(torch.stack([to_bias, to_weight])) / count
        slope = (scale * all_weight)[:, None, None]
        moved = torch.addcmul(wide - all_bias[:, None, None], centred, slope, value=-1.0)
        to_features = moved * (weight * scale)[:, None, None]
        return to_features.to(features.dtype), to_weight, to_bias, None
