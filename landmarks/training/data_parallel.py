"""The model on every rank: each computes the loss of its part of a batch, gradients are averaged.

With torch's DistributedDataParallel, which sends gradients while the backward pass goes on.
"""

import warnings
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from landmarks.distributed import collectives


class Replicas:
    """Images and points -> this rank's loss; its backward pass leaves mean gradients on all ranks.

    Losses are scaled by `collectives.divisor`, so that the mean over ranks is the mean
    over the labels of the whole batch.

    Args:
        model: the same on all ranks once this is made. Its batch statistics are left to itself.
    """

    def __init__(self, model: nn.Module):
        self.model, self.trained, self.parallel = model, None, None
        self._follow()

    def __call__(self, images: Tensor, points: Tensor) -> Tensor:
        self._follow()
        return self.parallel(images, points)

    def alone(self, is_alone: bool) -> AbstractContextManager:
        """Leave gradients of this rank's own in the context, to be averaged with later ones."""
        return self.parallel.no_sync() if is_alone else nullcontext()

    def average(self) -> None:
        """Average the gradients that were left on their own, where no later ones have come."""
        collectives.average([p.grad for p in self.model.parameters() if p.grad is not None])

    def _follow(self) -> None:
        """Send the gradients of what is trained now: backbones are frozen and thawed."""
        trained = [parameter.requires_grad for parameter in self.model.parameters()]
        if trained == self.trained:
            return
        self.trained, self.parallel = trained, None  # the old one's hooks go with it
        device = next(self.model.parameters()).device
        with warnings.catch_warnings():  # of broadcast_buffers, which torch 2.6 knows alone
            warnings.simplefilter("ignore", FutureWarning)
            self.parallel = DistributedDataParallel(
                self.model,
                device_ids=[device.index] if device.type == "cuda" else None,
                broadcast_buffers=False,
                # What differs from batch to batch may leave a part of the model out.
                find_unused_parameters=not self.model.recordable,
            )


def same_buffers(*models: nn.Module) -> None:
    """Let the batch statistics of all ranks be those of rank 0, where norms look at parts."""
    with torch.no_grad():
        for model in models:
            collectives.copy_from_main(list(model.buffers()))
