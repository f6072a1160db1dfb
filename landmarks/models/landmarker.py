"""A model: normalises images, runs the backbone, hands its features to the head."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from landmarks.models.backbones import build_backbone
from landmarks.models.heads import RegressionHead

# torchvision's published weights were trained on images normalised with these, in 0..1.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Landmarker(nn.Module):
    """Images -> points, or images and points -> loss.

    Args:
        backbone: normalised images (B, 3, S, S) -> list of feature maps.
        head: has `loss(features, points)` and `decode(features)`.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module):
        super().__init__()
        self.backbone, self.head = backbone, head
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) * 255 for v in (IMAGENET_MEAN, IMAGENET_STD))
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, images: Tensor, points: Tensor | None = None):
        """Return the loss, a float32 scalar, or (points (B, K, 2), confidence (B, K)).

        Args:
            images: (B, 3, S, S), 0..255, uint8 or float, RGB.
            points: (B, K, 2) float32 in input pixels, NaN where unlabelled; None: predict.
        """
        features = self.backbone((images.float() - self.mean) / self.std)
        if points is None:
            return self.head.decode(features)
        return self.head.loss(features, points)


def regressor(
    *,
    backbone: str,
    weights: str = "imagenet",
    init_output: Literal["mean", "center"] = "mean",
    num_points: int,
    size: int,
    elementwise: Callable | None = None,
    mean_points=None,
) -> Landmarker:
    """Return a model that regresses coordinates from a torchvision ResNet or ResNeXt.

    Args:
        backbone: torchvision's name of it.
        weights: "imagenet", "none" or a file.
        init_output: what is predicted before training: the training faces' mean shape, or the
            centre of the input for every point.
        num_points, size, elementwise: see `RegressionHead`.
        mean_points: (K, 2) input pixels, for init_output="mean".

    Raises:
        UserError: see `build_backbone`.
    """
    body = build_backbone(backbone, weights)
    start = mean_points if init_output == "mean" else None
    head = RegressionHead(body.channels[-1], num_points, size, elementwise, start)
    return Landmarker(body, head)
