"""Errors of predicted points: points in, numbers out. NaN marks a missing label and is left out."""

import torch
from torch import Tensor


def squared_error(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return each face's mean squared error over labelled coordinates, (B,), in square pixels.

    Averaged over faces this is the contest's score. Shapes (B, K, 2); NaN where a face has no
    label at all.
    """
    return ((predicted - truth) ** 2).flatten(1).nanmean(1)


def normalized_error(predicted: Tensor, truth: Tensor, eyes: list | None) -> Tensor:
    """Return each face's mean point distance over a face size, (B,): the NME, as a share.

    Args:
        predicted, truth: (B, K, 2), original pixels.
        eyes: the two points whose true distance is the face size; None: the square root of the
            area of the box around the labelled points.

    A face whose size is zero or unlabelled gives NaN.
    """
    distance = (predicted - truth).norm(dim=2).nanmean(1)
    if eyes:
        size = (truth[:, eyes[0]] - truth[:, eyes[1]]).norm(dim=1)
    else:
        missing = truth.isnan()
        low = truth.masked_fill(missing, torch.inf).amin(1)
        high = truth.masked_fill(missing, -torch.inf).amax(1)
        size = (high - low).prod(1).clamp(min=0).sqrt()
    return distance / torch.where(size > 0, size, torch.nan)
