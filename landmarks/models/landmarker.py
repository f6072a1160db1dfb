"""A model: normalises images, runs the backbone, hands its features to the head."""

import math

import torch
from torch import Tensor, nn

from landmarks.models.freezing import Freeze
from landmarks.models.model_protocols import Backbone, Head


class Landmarker(nn.Module):
    """Images -> points, or images and points -> loss.

    Args:
        backbone: normalised images -> feature maps.
        head: feature maps -> points, or feature maps and points -> loss.
        freeze: "none", "backbone", or for how many first epochs the backbone (of a U-Net its
            encoder) is frozen: it has no gradient and runs as in prediction, so that neither its
            weights nor its batch statistics move.

    Attributes:
        flip: (K,) flip permutation for test-time augmentation: the prediction is then the mean over
            an image and its mirror image, weighted by confidence where that is known. None: images
            are looked at once.
    """

    def __init__(self, backbone: Backbone, head: Head, freeze: Freeze = "none"):
        super().__init__()
        self.backbone, self.head = backbone, head
        self.frozen_epochs = {"none": 0, "backbone": math.inf}.get(freeze, freeze)
        self.is_frozen = False
        if freeze == "backbone":  # before the optimiser is built: it gets no frozen parameters
            self._freeze(True)
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) * 255 for v in (backbone.mean, backbone.std))
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.register_buffer("flip", None, persistent=False)
        self.tells_spread = False

    def forward(self, images: Tensor, points: Tensor | None = None):
        """Return the loss, a float32 scalar, or (points (B, K, 2), confidence (B, K)).

        Args:
            images: (B, 3, S, S), 0..255, uint8 or float, RGB.
            points: (B, K, 2) float32 in input pixels, NaN where unlabelled; None: predict.
        """
        if points is not None:
            return self.head.loss(self.extract(images), points)
        found, sure = self.head.decode(self.extract(images))
        if self.flip is None:
            return found, sure
        mirrored = self.head.decode(self.extract(images.flip(3)))
        mean, known = merge(self.flip, images.shape[3], (found, sure), mirrored)
        if self.tells_spread:
            return mean, torch.linalg.vector_norm(found - mean, dim=2)
        return mean, known

    @property
    def recordable(self) -> bool:
        """Can training and prediction be recorded and replayed?"""
        return self.head.recordable

    def rehearse(self, images: Tensor, points: Tensor) -> Tensor:
        """Return a loss that takes at least the memory of `forward`'s, without reading any value.

        A dry run with it counts memory before the first step, see
        `landmarks.training.memory_estimate`.
        """
        return self.head.rehearse(self.extract(images), points)

    def extract(self, images: Tensor) -> list[Tensor]:
        """Return the backbone's feature maps of images as in `forward`."""
        return self.backbone((images.float() - self.mean) / self.std)

    def advance(self, progress: float, epoch: int) -> None:
        """Set what depends on the share of training that is done, 0 to 1, and the epochs done."""
        self.head.advance(progress)
        if self.is_frozen != (epoch < self.frozen_epochs):
            self._freeze(not self.is_frozen)

    def train(self, mode: bool = True) -> "Landmarker":
        """Set the mode; what is frozen stays as in prediction."""
        if not self.is_frozen:
            return super().train(mode)
        # Switching back and forth would compile a compiled model anew in every epoch.
        still = set(self.backbone.pretrained().eval().modules())
        for module in set(self.modules()) - still:
            module.training = mode
        return self

    def parameters_by_stage(self) -> list[list[nn.Parameter]]:
        """Return the backbone's (of a U-Net the encoder's) parameters, first stage first."""
        return self.backbone.parameters_by_stage()

    def _freeze(self, frozen: bool) -> None:
        self.is_frozen = frozen
        self.backbone.pretrained().requires_grad_(not frozen)
        self.train(self.training)

    def report(self) -> None:
        """Log what the head has to say of the predictions since the last report, if anything."""
        self.head.report()


def merge(
    flip: Tensor, size: int, found: tuple[Tensor, Tensor], mirrored: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return the mean of what is found in an image and in its mirror image.

    Args:
        flip: (K,) flip permutation.
        size: side of the images, in pixels.
        found, mirrored: points (B, K, 2) in the pixels of each, and their confidence (B, K), by
            which points are weighted where it is known.
    """
    (points, sure), (others, unsure) = found, (part[:, flip] for part in mirrored)
    others = torch.stack([size - 1 - others[..., 0], others[..., 1]], 2)
    share = (unsure / (sure + unsure)).nan_to_num(0.5)
    return torch.lerp(points, others, share[..., None]), (sure + unsure) / 2
