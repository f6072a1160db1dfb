"""predict, validate: the loops that do not train. They are handed objects and know no settings."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from landmarks.devices import copy_ahead, fetch
from landmarks.geometry import transform
from landmarks.metrics import normalized_error, squared_error
from landmarks.runs.not_finite import find_faults, say_faults
from landmarks.training.precision import Precision


def predict(model: nn.Module, batches: Iterable, precision: Precision) -> Iterator[tuple]:
    """Yield (batch, points (B, K, 2), confidence (B, K)) for every batch.

    The batch is as the loader gave it; points are float32, in original pixels, on the device.
    """
    for batch, _, points, confidence in _predict(model, batches, precision):
        yield batch, points, confidence


@torch.inference_mode()
def _predict(model: nn.Module, batches: Iterable, precision: Precision) -> Iterator[tuple]:
    """Yield what `predict` does, and after each batch the same on the device."""
    model.eval()
    for batch, moved in copy_ahead(batches, precision.device):
        with precision.autocast():
            points, confidence = model(moved.images)
        yield batch, moved, transform(moved.to_image, points.float()), confidence
    model.report()


def predict_ahead(model: nn.Module, batches: Iterable, precision: Precision) -> Iterator[tuple]:
    """Yield what `predict` does as float32 arrays, each after the next batch has been begun.

    So a GPU has work while whoever asks for predictions writes them down.
    """
    begun = deque()
    for batch, *found in predict(model, batches, precision):
        begun.append((batch, fetch([values.float() for values in found])))
        if len(begun) > 1:
            yield _await(*begun.popleft())
    for batch, wait in begun:
        yield _await(batch, wait)


def _await(batch, wait: Callable[[], list[Tensor]]) -> tuple:
    return batch, *(values.numpy() for values in wait())


@torch.inference_mode()
def validate(
    model: nn.Module,
    batches,
    precision: Precision,
    eyes: list | None,
    checked: Callable[[Iterable], Iterable] = iter,
) -> dict:
    """Return {"mse", "nme", "confidence"}: means over faces, in original pixels and as shares.

    The confidence is that of labelled points, NaN for a model that does not know it. Under "faults"
    stands in words which faces' predictions are not finite: their errors are not in the means.

    Args:
        model: predicts points from images.
        batches: in order, with labels.
        eyes: normaliser of the mean error, see `landmarks.metrics.normalized_error`.
        checked: yields what it is given, as far as that is to be looked at.
    """
    squared, normalized, sure, faults = [], [], [], []
    for _, batch, predicted, confidence in _predict(model, checked(batches), precision):
        truth = transform(batch.to_image, batch.points)
        squared.append(squared_error(predicted, truth))
        faults.append(find_faults(predicted))
        normalized.append(normalized_error(predicted, truth, eyes))
        labelled = truth.isfinite().all(2)
        sure.append(torch.where(labelled, confidence.float(), torch.nan).nanmean(1))
    return {
        "mse": float(torch.cat(squared).nanmean()),
        "nme": float(torch.cat(normalized).nanmean()),
        "confidence": float(torch.cat(sure).nanmean()),
        "faults": _name_faults(batches, faults),
    }


def _name_faults(batches, faults: list[Tensor]) -> str:
    found = torch.cat(faults).cpu()
    if (found < 0).all():
        return ""
    names = [name for i in range(len(faults)) for name in batches.names_of(0, i)]
    return say_faults(names, found)
