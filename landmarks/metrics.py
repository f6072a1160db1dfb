"""Errors of predicted points: points in, numbers out.

A label that is NaN is missing and left out. A prediction that is NaN, where there is a label, makes
the error NaN: see `landmarks.outputs.not_finite`.
"""

import torch
from torch import Tensor


def squared_error(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return each face's mean squared error over labelled coordinates, (B,), in square pixels.

    Averaged over faces this is the contest's score. Shapes (B, K, 2); NaN where a face has no
    label at all.
    """
    return _mean((predicted - truth).flatten(1) ** 2, ~truth.isnan().flatten(1))


def normalized_error(predicted: Tensor, truth: Tensor, eyes: list | None) -> Tensor:
    """Return each face's mean point distance over a face size, (B,): the NME, as a share.

    Args:
        predicted, truth: (B, K, 2), original pixels.
        eyes: the two points whose true distance is the face size; None: the square root of the
            area of the box around the labelled points.

    A face whose size is zero or unlabelled gives NaN.
    """
    distance = _mean((predicted - truth).norm(dim=2), ~truth.isnan().any(2))
    return distance / face_size(truth, eyes)


def face_size(truth: Tensor, eyes: list | None) -> Tensor:
    """Return the size of each face (B,) that `normalized_error` divides by, in original pixels.

    NaN where it is zero or unlabelled. Arguments as there.
    """
    if eyes:
        size = (truth[:, eyes[0]] - truth[:, eyes[1]]).norm(dim=1)
    else:
        missing = truth.isnan()
        low = truth.masked_fill(missing, torch.inf).amin(1)
        high = truth.masked_fill(missing, -torch.inf).amax(1)
        size = (high - low).prod(1).clamp(min=0).sqrt()
    return torch.where(size > 0, size, torch.nan)


def _mean(values: Tensor, known: Tensor) -> Tensor:
    """Return the means (B,) of those of the values (B, n) that are known; of none: NaN."""
    return torch.where(known, values, 0).sum(1) / known.sum(1)
