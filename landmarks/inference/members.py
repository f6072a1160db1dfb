"""Several models as one: the mean of what they find, such as those of a k-fold."""

from pathlib import Path

import torch
from torch import Tensor, nn

from landmarks.errors import UserError
from landmarks.inference.predictor import Predictor
from landmarks.training.forward import choose_forward

ALIKE = ("input_size", "crop", "box_margin", "box_from")  # else they do not see the same input


class Mean(nn.Module):
    """The mean of several models' points and confidence.

    Args:
        models: of one input size and number of points.
    """

    def __init__(self, models: list[nn.Module]):
        super().__init__()
        self.models = nn.ModuleList(models)
        self.head, self.flip = models[0].head, models[0].flip
        self.recordable = all(getattr(model, "recordable", True) for model in models)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return points (B, K, 2) in input pixels and confidence (B, K) of images (B, 3, S, S)."""
        found = [model(images) for model in self.models]
        points, confidence = (torch.stack([each[i].float() for each in found]) for i in (0, 1))
        return points.mean(0), confidence.mean(0)

    def extract(self, images: Tensor) -> list[Tensor]:
        """Return the first model's features: pictures of heatmaps show that one's."""
        return self.models[0].extract(images)

    def report(self) -> None:
        """Let each model say what it has to say after predicting."""
        for model in self.models:
            model.report()


def open_members(paths: list[Path], **options) -> Predictor:
    """Return the predictor of several checkpoints' mean.

    Args:
        paths: of checkpoints.
        options: see `Predictor`.

    Raises:
        UserError: if they do not see the same input, or find other points; see also `Predictor`.
    """
    members = [Predictor(path, **options) for path in paths]
    first = members[0]
    for member, path in zip(members[1:], paths[1:], strict=True):
        for key in ALIKE:
            own, other = (p.checkpoint.config[key] for p in (first, member))
            if own != other:
                raise UserError(f"{path} has {key}={other} and {paths[0]} {own}: name others.")
        if member.num_points != first.num_points:
            raise UserError(
                f"{path} finds {member.num_points} points and {paths[0]} {first.num_points}."
            )
    unlabelled = {point for member in members for point in member.unlabelled}
    first.unlabelled = sorted(unlabelled)
    first.model = Mean([member.model for member in members]).eval()
    first.forward = choose_forward(options.get("graph", "auto"), first.model, first.precision)
    return first
