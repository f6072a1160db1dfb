"""predict, validate: the loops that do not train. They are handed objects and know no settings."""

import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from landmarks.devices import copy_ahead, fetch
from landmarks.distributed import collectives, processes
from landmarks.geometry import transform
from landmarks.metrics import normalized_error, squared_error
from landmarks.outputs.not_finite import find_faults, say_faults
from landmarks.runs.loggers import Logger
from landmarks.training.precision import Precision
from landmarks.training.predict_batch import Forward

AHEAD = {"cuda": 2}  # batches begun before the results of one are waited for; else 1
log = logging.getLogger(__name__)
EMPTY_CONFIDENCE = 0.1  # mean confidence below which maps are called empty ...
SETTLED_SHARE = 0.1  # ... after this share of training: all maps start near zero
MIN_STEPS = 200  # steps in which maps need not have risen


def predict(
    model: nn.Module, batches: Iterable, precision: Precision, forward: Forward | None = None
) -> Iterator[tuple]:
    """Yield (batch, points (B, K, 2), confidence (B, K)) for every batch.

    The batch is as the loader gave it; points are float32, in original pixels, on the device.

    Args:
        model: predicts points from images.
        batches: of `landmarks.data.batches.cropped_faces.Batch`, or anything like it.
        precision: autocast, and the device.
        forward: kept from one call to the next, so that a recording is used again; None: nothing is
            recorded.
    """
    for batch, _, points, confidence in _predict(model, batches, precision, forward):
        yield batch, points, confidence


@torch.inference_mode()
def _predict(
    model: nn.Module, batches: Iterable, precision: Precision, forward: Forward | None
) -> Iterator[tuple]:
    """Yield what `predict` does, and after each batch the same on the device."""
    forward = forward or Forward(precision)
    model.eval()
    forward.open(model)
    for batch, moved in copy_ahead(batches, precision.device):
        yield batch, moved, *forward(moved.images, moved.to_image)
    model.report()


def predict_ahead(
    model: nn.Module, batches: Iterable, precision: Precision, forward: Forward | None = None
) -> Iterator[tuple]:
    """Yield what `predict` does as float32 arrays, each after the next batches have been begun.

    So a GPU has work while whoever asks for predictions writes them down.
    """
    begun, ahead = deque(), AHEAD.get(precision.device.type, 1)
    for batch, *found in predict(model, batches, precision, forward):
        begun.append((batch, fetch([values.float() for values in found])))
        if len(begun) > ahead:
            yield _await(*begun.popleft())
    while begun:
        yield _await(*begun.popleft())


def _await(batch, wait: Callable[[], list[Tensor]]) -> tuple:
    return batch, *(values.numpy() for values in wait())


@torch.inference_mode()
def validate(
    model: nn.Module,
    batches,
    precision: Precision,
    eyes: list | None,
    checked: Callable[[Iterable], Iterable] = iter,
    forward: Forward | None = None,
    scored_to: float | None = None,
) -> dict:
    """Return {"mse", "nme", "confidence"}: means over faces, in original pixels and as shares.

    With `scored_to` there is "rmse", too: the root of the mean squared error over all labelled
    coordinates, predicted ones being clipped to 0 ... scored_to, as Kaggle's Facial Keypoints
    has it.

    The confidence is that of labelled points, NaN for a model that does not know it. Under "faults"
    stands in words which faces' predictions are not finite: their errors are not in the means. Of
    several processes each predicts its own part, and all return the same.

    Args:
        model: predicts points from images.
        batches: in order, with labels.
        eyes: normaliser of the mean error, see `landmarks.metrics.normalized_error`.
        checked: yields what it is given, as far as that is to be looked at.
        forward: see `predict`.
        scored_to: see `landmarks.data.faces.Faces`.
    """
    squared, normalized, sure, faults, scored = [], [], [], [], []
    for _, batch, predicted, confidence in _predict(model, checked(batches), precision, forward):
        truth = transform(batch.to_image, batch.points)
        squared.append(squared_error(predicted, truth))
        faults.append(find_faults(predicted))
        if scored_to is not None:
            clipped = predicted.clamp(0, scored_to)
            scored.append(((clipped - truth) ** 2)[~truth.isnan()])
        normalized.append(normalized_error(predicted, truth, eyes))
        labelled = truth.isfinite().all(2)
        sure.append(torch.where(labelled, confidence.float(), torch.nan).nanmean(1))
    device = precision.device
    scores = {}
    if scored_to is not None:
        scores["rmse"] = float(torch.tensor(_mean(scored, device)).sqrt())
    return {
        **scores,
        "mse": _mean(squared, device),
        "nme": _mean(normalized, device),
        "confidence": _mean(sure, device),
        "faults": _name_faults(batches, faults),
    }


def _mean(values: list[Tensor], device: torch.device) -> float:
    """Return the mean of what is known of all ranks' values."""
    if processes.world() == 1:
        return float(torch.cat(values).nanmean())
    found = torch.cat([torch.empty(0, device=device), *values]).double()
    known = ~found.isnan()
    total, count = collectives.reduce(torch.stack([found[known].sum(), known.sum()])).tolist()
    return total / count if count else math.nan


def _name_faults(batches, faults: list[Tensor]) -> str:
    """Return in words which faces of all ranks have predictions that are not finite."""
    found = torch.cat(faults).cpu() if faults else torch.empty(0)
    own = []
    if (found >= 0).any():
        parts = (processes.part_of(batches.names_of(0, i)) for i in range(len(faults)))
        names = [name for part in parts for name in part]
        own = [pair for pair in zip(names, found.tolist(), strict=True) if pair[1] >= 0]
    pairs = [pair for part in collectives.gather(own) for pair in part]
    return say_faults([name for name, _ in pairs], np.array([fault for _, fault in pairs], int))


class EmptyMapsWarning(Logger):
    """Says once that the heatmaps of a model that has some have collapsed to zero.

    Nearly all cells of all targets are zero, so a network may learn to predict zero everywhere. A
    training of few steps is warned at its end only.
    """

    def __init__(self, run_dir: Path):
        super().__init__(run_dir)
        self.warned = False

    def log_epoch(self, history: list[dict], progress: float) -> None:
        """Look at the last row's confidence, which a model without heatmaps does not have."""
        row = history[-1]
        is_empty = row.get("val_confidence", 1.0) < EMPTY_CONFIDENCE
        if self.warned or progress < SETTLED_SHARE or not is_empty:
            return
        found = f"the maxima of labelled points' maps are {row['val_confidence']:.3f} in the mean"
        if row["step"] < MIN_STEPS:
            if progress >= 1:
                log.warning(
                    f"The heatmaps are still empty after {row['step']} steps: {found}, not near 1. "
                    f"These are few steps; train for longer."
                )
            return
        self.warned = True
        way_on = "if it stays so, start anew" if progress < 1 else "train for longer, or anew"
        log.warning(
            f"The heatmaps have collapsed to zero: after {100 * progress:.0f} % of training, "
            f"{row['step']} steps, {found}, not near 1; {way_on} with a higher model.sigma or "
            f"model.weight, a lower optimizer.lr, or another loss."
        )
