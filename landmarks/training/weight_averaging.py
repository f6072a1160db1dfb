"""Averages of weights: an exponential moving one in training, and one model from several."""

import copy
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from landmarks.devices import move
from landmarks.training.precision import Precision


class Ema:
    """A copy of a model that follows it, smoothed.

    Args:
        model: followed; the copy starts as it is.
        decay: the share kept a step; it grows to this value, min(decay, (1 + n) / (10 + n)) at
            step n, so that the start is soon forgotten.

    torch.optim.swa_utils.AveragedModel does the same, but asks a tensor on the device at every
    step whether it is the first. The host would wait for that.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay, self.steps = decay, 0
        own, followed = self.model.state_dict(), model.state_dict(keep_vars=True)
        smooth = [key for key, value in own.items() if value.is_floating_point()]
        self._own = [own[key] for key in smooth]
        self._followed = [followed[key] for key in smooth]
        copied = [key for key in own if key not in set(smooth)]
        self._counts = [own[key] for key in copied]
        self._followed_counts = [followed[key] for key in copied]

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the model's present weights."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self._own, self._followed, 1 - decay)
        if self._counts:
            torch._foreach_copy_(self._counts, self._followed_counts)


def average_weights(members: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of each tensor; of whole numbers, such as counts of batches, the largest.

    Args:
        members: state_dicts of the same names and shapes.

    Source: Wortsman et al., Model soups: averaging weights of multiple fine-tuned models improves
    accuracy without increasing inference time, ICML 2022.
    """
    averaged = {}
    for name, first in members[0].items():
        stacked = torch.stack([member[name].double() for member in members])
        found = stacked.mean(0) if first.is_floating_point() else stacked.amax(0)
        averaged[name] = found.to(first.dtype)
    return averaged


@torch.no_grad()
def reestimate_statistics(model: nn.Module, batches: Iterable, precision: Precision) -> int:
    """Give a model's batch norms the mean statistics of these batches; return how many it has.

    The means and variances of averaged weights' activations are not the averages of the members'.

    Args:
        model: predicts points from images; it is left ready to predict.
        batches: of `landmarks.data.batches.cropped_faces.Batch`.
    """
    norms = [
        module
        for module in model.eval().modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats
    ]
    if not norms:
        return 0
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
        norm.train()
    flip, model.flip = model.flip, None
    try:
        for batch in batches:
            with precision.autocast():
                model(move(batch.images, precision.device))
    finally:
        model.flip = flip
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
    return len(norms)
