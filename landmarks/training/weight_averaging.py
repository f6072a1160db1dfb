"""One model from the weights of several: their mean, and batch norms that fit it."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from landmarks.devices import move
from landmarks.training.precision import Precision


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
