"""A model: normalises images, runs the backbone, hands its features to the head."""

from typing import Literal

import torch
from torch import Tensor, nn

from landmarks.losses import Elementwise
from landmarks.models.backbones import BackboneName, build_backbone
from landmarks.models.heads import RegressionHead
from landmarks.models.heatmap_head import DecoderName, HeatmapHead
from landmarks.models.unet import ClassicUnet, Unet
from landmarks.settings import NonNegative, Positive, PositiveInt, Range

Stride = Literal[1, 2, 4]  # input pixels a cell of a heatmap


class Landmarker(nn.Module):
    """Images -> points, or images and points -> loss.

    Args:
        backbone: normalised images (B, 3, S, S) -> list of feature maps; publishes the `mean` and
            `std` (R, G, B in 0..1) that it is used to.
        head: has `loss(features, points)` and `decode(features)`; one with heatmaps has `maxima`
            besides, to picture them.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module):
        super().__init__()
        self.backbone, self.head = backbone, head
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) * 255 for v in (backbone.mean, backbone.std))
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, images: Tensor, points: Tensor | None = None):
        """Return the loss, a float32 scalar, or (points (B, K, 2), confidence (B, K)).

        Args:
            images: (B, 3, S, S), 0..255, uint8 or float, RGB.
            points: (B, K, 2) float32 in input pixels, NaN where unlabelled; None: predict.
        """
        features = self.extract(images)
        if points is None:
            return self.head.decode(features)
        return self.head.loss(features, points)

    def extract(self, images: Tensor) -> list[Tensor]:
        """Return the backbone's feature maps of images as in `forward`."""
        return self.backbone((images.float() - self.mean) / self.std)

    def advance(self, progress: float) -> None:
        """Set what changes with the share of training that is done, 0 to 1."""
        if hasattr(self.head, "advance"):
            self.head.advance(progress)


def regressor(
    *,
    backbone: BackboneName,
    weights: str = "imagenet",
    partial: bool = False,
    init_output: Literal["mean", "center"] = "mean",
    num_points: int,
    size: int,
    elementwise: Elementwise | None = None,
    mean_points=None,
) -> Landmarker:
    """Return a model that regresses coordinates from a torchvision network's last feature map.

    Args:
        backbone: torchvision's name of it.
        weights: "imagenet", "none" or a file.
        partial: take from a file what fits, even if it is less than half.
        init_output: what is predicted before training: the training faces' mean shape, or the
            centre of the input for every point.
        num_points, size, elementwise: see `RegressionHead`.
        mean_points: (K, 2) input pixels, for init_output="mean".

    Raises:
        UserError: see `build_backbone`.
    """
    body = build_backbone(backbone, weights, partial)
    start = mean_points if init_output == "mean" else None
    head = RegressionHead(body.channels[-1], num_points, size, elementwise, start)
    return Landmarker(body, head)


def unet(
    *,
    backbone: BackboneName,
    weights: str = "imagenet",
    partial: bool = False,
    width: PositiveInt = 96,
    stride: Stride = 4,
    num_points: int,
    size: int,
    elementwise: Elementwise | None = None,
    mean_points=None,
    sigma: Positive | Range = 1.5,
    decoder: DecoderName = "local",
    weight: NonNegative = 10.0,
    chunk: Literal["auto"] | PositiveInt = "auto",
    fuse: Literal["auto"] | bool = "auto",
) -> Landmarker:
    """Return a model that predicts a heatmap a landmark, from a torchvision encoder's U-Net.

    Args:
        backbone: torchvision's name of the encoder.
        weights, partial: of the encoder, see `build_backbone`.
        width: channels the maps are made from.
        stride: input pixels a cell of the heatmaps.
        mean_points: not used; maps start near zero.
        num_points, size, elementwise, sigma, decoder, weight, chunk, fuse: see `HeatmapHead`.

    Raises:
        UserError: see `build_backbone`.
    """
    body = Unet(build_backbone(backbone, weights, partial), stride, width)
    head = HeatmapHead(*(width, num_points, size, elementwise, sigma, decoder, weight, chunk, fuse))
    return Landmarker(body, head)


def classic_unet(
    *,
    stride: Stride = 1,
    num_points: int,
    size: int,
    elementwise: Elementwise | None = None,
    mean_points=None,
    sigma: Positive | Range = 1.5,
    decoder: DecoderName = "local",
    weight: NonNegative = 10.0,
    chunk: Literal["auto"] | PositiveInt = "auto",
    fuse: Literal["auto"] | bool = "auto",
) -> Landmarker:
    """Return the U-Net of 2015, from scratch; arguments as in `unet`."""
    body = ClassicUnet(stride)
    head = HeatmapHead(
        *(body.channels[-1], num_points, size, elementwise, sigma, decoder, weight, chunk, fuse)
    )
    return Landmarker(body, head)
