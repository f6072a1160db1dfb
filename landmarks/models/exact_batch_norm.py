"""Batch norms whose statistics are exact to a rounding, over the parts of a batch of all processes.

On a CPU torch's own adds up a channel of channels-last memory in float32, one number after the
other: means and variances of 20,000 numbers are off by a hundred roundings. torch's SyncBatchNorm
refuses tensors of the CPU, and is no BatchNorm2d, by which this program knows what it freezes.
"""

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from landmarks.distributed import collectives, processes

MOST_ROWS, FEWEST_ROWS = 256, 8  # numbers of a channel that are added one after the other


class ExactNorm(nn.BatchNorm2d):
    """A batch norm over the batches of all ranks; in evaluation as usual.

    It is torch's own where one process has no need of another: on a GPU, and compiled.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Return the features (B, C, H, W), normalised channel by channel."""
        if not self.training or torch.compiler.is_compiling() or not _is_own(features):
            return super().forward(features)
        normed, mean, unbiased = _Normalise.apply(features, self.weight, self.bias, self.eps)
        if self.track_running_stats:
            self.num_batches_tracked.add_(1)
            share = self.momentum
            if share is None:  # the plain mean over all batches
                share = 1 / int(self.num_batches_tracked)
            torch._foreach_lerp_([self.running_mean, self.running_var], [mean, unbiased], share)
        return normed


def _is_own(features: Tensor) -> bool:
    """Say whether torch's norm does not do; a fake tensor's, whose memory is counted, does."""
    return type(features) is Tensor and (processes.world() > 1 or _is_rough(features))


def _is_rough(features: Tensor) -> bool:
    """Say whether torch would add up these features (B, C, H, W) one after the other."""
    return (
        features.device.type == "cpu"
        and features.dtype == torch.float32
        and features.is_contiguous(memory_format=torch.channels_last)
        and features.numel() > features.shape[1]  # torch refuses one number a channel
    )


@cache
def _count_rows(count: int) -> int:
    """Return in how large groups so many numbers of a channel are added up."""
    fitting = (n for n in range(MOST_ROWS, FEWEST_ROWS - 1, -1) if count % n == 0)
    return next(fitting, count)


def _describe(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance (C,) of this rank's features."""
    if not _is_rough(features):
        wide = features.double() if features.device.type == "cpu" else features.float()
        variance, mean = torch.var_mean(wide, (0, 2, 3), correction=0)
        return mean, variance
    # In memory these are (count, C). Read as (rows, groups * C) they are rows of more channels, of
    # which torch's kernel adds up few numbers each, as fast as before.
    channels, count = features.shape[1], features.numel() // features.shape[1]
    rows = _count_rows(count)
    width = count // rows * channels
    parted = features.as_strided((1, width, rows, 1), (width * rows, 1, width, width))
    means, variances = torch.batch_norm_update_stats(parted, None, None, 0.0)
    if width == channels:
        return means, variances
    means, variances = means.view(-1, channels).double(), variances.view(-1, channels).double()
    mean = means.mean(0)
    return mean, variances.add_((means - mean).square_()).mean(0)


def _describe_all(features: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | int]:
    """Return mean, variance and unbiased variance (C,) of a channel over all ranks, float32, and
    of how many numbers."""
    (mean, variance), count = _describe(features), features.numel() // features.shape[1]
    if processes.world() == 1:
        return mean.float(), variance.float(), variance.float() * (count / (count - 1)), count
    parts = torch.cat([mean, variance, mean.new_full((1,), count)]).double()
    means, variances, counts = collectives.stack(parts).split([len(mean), len(mean), 1], 1)
    count = counts.sum()
    # From each rank's own mean: a difference of sums of squares would lose digits.
    mean = (counts * means).sum(0) / count
    variance = (counts * (variances + (means - mean) ** 2)).sum(0) / count
    unbiased = variance * (count / (count - 1).clamp(min=1))
    return mean.float(), variance.float(), unbiased.float(), count


class _Normalise(torch.autograd.Function):
    """Features, weight, bias, epsilon -> normalised features, and the mean and unbiased variance
    of a channel over all ranks."""

    @staticmethod
    def forward(ctx, features, weight, bias, eps):
        mean, variance, unbiased, ctx.count = _describe_all(features)
        given = weight, bias, False, 0.0, eps
        ctx.save_for_backward(features, weight, mean, variance)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, unbiased)
        return functional.batch_norm(features, mean, variance, *given), mean, unbiased

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient, *_):
        features, weight, mean, variance = ctx.saved_tensors
        scale = torch.rsqrt(variance + ctx.eps)
        if processes.world() == 1:
            given = None, None, mean, scale, True, ctx.eps, ctx.needs_input_grad[:3]
            found = torch.ops.aten.native_batch_norm_backward(gradient, features, weight, *given)
            return *found, None
        wide = gradient.float()
        centred = features.float() - mean[:, None, None]
        to_bias = wide.sum((0, 2, 3))
        to_weight = (wide * centred).sum((0, 2, 3)) * scale
        # The statistics are functions of the features of all ranks.
        all_bias, all_weight = collectives.reduce(torch.stack([to_bias, to_weight])) / ctx.count
        slope = (scale * all_weight)[:, None, None]
        moved = torch.addcmul(wide - all_bias[:, None, None], centred, slope, value=-1.0)
        to_features = moved * (weight * scale)[:, None, None]
        return to_features.to(features.dtype), to_weight, to_bias, None
