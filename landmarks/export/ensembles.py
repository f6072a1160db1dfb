"""Several models of photos as one module."""

import torch
from torch import Tensor, nn

from landmarks.inference.combine_points import EnsembleName


class PhotoEnsemble(nn.Module):
    """Several `PhotoModel` as one; see `landmarks.inference.ensemble.Ensemble`.

    Args:
        members: M of them.
        how: their points are combined.
        weights: (M, K): the share of a model in a point, 0 where it has not learnt it.
        certainty: "confidence", their mean, or "spread".
    """

    def __init__(
        self, members: list[nn.Module], how: EnsembleName, weights: Tensor, certainty: str
    ):
        super().__init__()
        self.members = nn.ModuleList(members)
        self.how, self.certainty = how, certainty
        shares = weights / weights.sum(0)  # NaN for a point that none has learnt
        self.register_buffer("shares", shares[:, None, :, None].clone(), persistent=False)

    def forward(self, images: Tensor, boxes: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return points (N, K, 2) in the photos' pixels and their certainty (N, K)."""
        found = [member(images, boxes) for member in self.members]
        points, sure = (torch.stack(parts) for parts in zip(*found, strict=True))
        if self.how == "median":
            ordered, count = points.sort(0).values, len(found)
            combined = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
        else:
            combined = (points.nan_to_num(0.0) * self.shares).sum(0)
        if self.certainty == "confidence":
            return combined, sure.mean(0)
        squares = (points.nan_to_num(0.0) - combined).square().sum(-1)
        known = (self.shares > 0).float()[..., 0]
        return combined, ((squares * known).sum(0) / known.sum(0)).sqrt()
