"""What a backbone and a head promise, so that any of the one works with any of the other."""

from typing import ClassVar

from torch import Tensor, nn

from landmarks.losses import Domain, Elementwise, check_domain


class Backbone(nn.Module):
    """Normalised images (B, 3, S, S) -> a list of feature maps, fine to coarse.

    Attributes:
        channels, strides: of each feature map; a stride is in input pixels a cell.
        mean, std: of R, G, B in 0..1, by which images are normalised.
    """

    channels: list[int]
    strides: list[int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the feature maps (B, C, h, w) of normalised images (B, 3, S, S)."""
        raise NotImplementedError

    def pretrained(self) -> nn.Module:
        """Return the part that pretrained weights fill: all of it, of a U-Net its encoder."""
        return self

    def parameters_by_stage(self) -> list[list[nn.Parameter]]:
        """Return the parameters of the pretrained part, those next to the image first."""
        return [list(self.pretrained().parameters())]


class Head(nn.Module):
    """Feature maps -> points; it owns its representation: targets, loss and decoding.

    Hooks that a head does not need do nothing.

    Args:
        elementwise: a loss of `landmarks.losses`, checked against `domain`; None for a model that
            only predicts, and for a head with losses of its own.

    Attributes:
        domain: what the loss compares; None: the head has losses of its own.
        has_maps: has it heatmaps that `maxima` can show?
        has_confidence: does it know how sure it is of a point?
        recordable: can its work be recorded and replayed, see `landmarks.training.cuda_graphs`? Not
            if shapes depend on values.

    Raises:
        UserError: for a loss that is not made for what the head compares.
    """

    domain: ClassVar[Domain | None] = None
    has_maps: ClassVar[bool] = False
    has_confidence: ClassVar[bool] = True
    recordable: ClassVar[bool] = True

    def __init__(self, elementwise: Elementwise | None = None):
        super().__init__()
        if elementwise is not None:
            check_domain(elementwise, self.domain)

    def loss(self, features: list[Tensor], points: Tensor) -> Tensor:
        """Return the mean loss over what is labelled, a float32 scalar.

        Args:
            points: (B, K, 2) float32 in input pixels, NaN where unlabelled.
        """
        raise NotImplementedError

    def decode(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return points (B, K, 2) in input pixels and their confidence (B, K), 0 to 1.

        The confidence is NaN for a head that does not know it.
        """
        raise NotImplementedError

    def advance(self, progress: float) -> None:
        """Set what changes with the share of training that is done, 0 to 1."""

    def rehearse(self, features: list[Tensor], points: Tensor) -> Tensor:
        """Return a loss that takes the memory of `loss`, at most, and asks for no value."""
        return self.loss(features, points)

    def report(self) -> None:
        """Log what the predictions since the last report were like."""

    def maxima(
        self, features: list[Tensor], ranges: list[range], points: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the largest of predicted maps, and of their targets, for pictures.

        Args:
            ranges: R ranges of landmarks, of step 1; each has its own maximum.
            points: (B, K, 2) in input pixels, NaN unlabelled; None: no targets are wanted.

        Returns:
            predicted and targets (or None), each (B, R, H, W) float32.
        """
        raise NotImplementedError
