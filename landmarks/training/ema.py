"""An exponential moving average of a model's weights."""

import copy

import torch
from torch import nn


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
