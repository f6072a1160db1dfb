"""A model: normalises images, runs the backbone, hands its features to the head."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from landmarks.errors import UserError
from landmarks.losses import Elementwise
from landmarks.models.backbones import BackboneName, build_backbone
from landmarks.models.heads import Corrections, RegressionHead
from landmarks.models.heatmap_head import DecoderName, HeatmapHead
from landmarks.models.tuning import Freeze, Norm, change_norms, find_encoder
from landmarks.models.unet import ClassicUnet, Unet
from landmarks.settings import NonNegative, Positive, PositiveInt, Range, Rounds

FINE_STRIDE, FINE_WIDTH = 8, 96  # of the features that correct a regression
Stride = Literal[1, 2, 4]  # input pixels a cell of a heatmap


class Landmarker(nn.Module):
    """Images -> points, or images and points -> loss.

    Args:
        backbone: normalised images (B, 3, S, S) -> list of feature maps; publishes the `mean` and
            `std` (R, G, B in 0..1) that it is used to.
        head: has `loss(features, points)` and `decode(features)`; one with heatmaps has `maxima`
            besides, to picture them.
        freeze: "none", "backbone", or for how many first epochs the backbone (of a U-Net its
            encoder) is frozen: it has no gradient and runs as in prediction, so that neither its
            weights nor its batch statistics move.

    Attributes:
        flip: (K,) flip permutation; what is predicted is then the mean of what is found in images
            and in their mirror images, weighted by confidence where that is known. None: of images
            alone.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, freeze: Freeze = "none"):
        super().__init__()
        self.backbone, self.head = backbone, head
        self.frozen_epochs = {"none": 0, "backbone": math.inf}.get(freeze, freeze)
        self.is_frozen = False
        if freeze == "backbone":  # an optimiser need not know of it
            self._freeze(True)
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) * 255 for v in (backbone.mean, backbone.std))
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.register_buffer("flip", None, persistent=False)

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
        mirrored, others = self.head.decode(self.extract(images.flip(3)))
        mirrored, others = mirrored[:, self.flip], others[:, self.flip]
        mirrored[..., 0] = images.shape[3] - 1 - mirrored[..., 0]
        share = (others / (sure + others)).nan_to_num(0.5)
        return torch.lerp(found, mirrored, share[..., None]), (sure + others) / 2

    def rehearse(self, images: Tensor, points: Tensor) -> Tensor:
        """Return a loss that takes what `forward`'s takes, at most, and asks for no value.

        Memory is counted by it before the first step; see `landmarks.estimate`.
        """
        return getattr(self.head, "rehearse", self.head.loss)(self.extract(images), points)

    def extract(self, images: Tensor) -> list[Tensor]:
        """Return the backbone's feature maps of images as in `forward`."""
        return self.backbone((images.float() - self.mean) / self.std)

    def advance(self, progress: float, epoch: int) -> None:
        """Set what changes with the share of training that is done, 0 to 1, and epochs done."""
        if hasattr(self.head, "advance"):
            self.head.advance(progress)
        if self.is_frozen != (epoch < self.frozen_epochs):
            self._freeze(not self.is_frozen)

    def train(self, mode: bool = True) -> "Landmarker":
        """Set the mode; what is frozen stays as in prediction."""
        if not self.is_frozen:
            return super().train(mode)
        # To and fro would be a new graph every epoch, and a compiled model compiled every epoch.
        still = set(find_encoder(self.backbone).eval().modules())
        for module in set(self.modules()) - still:
            module.training = mode
        return self

    def parameters_by_stage(self) -> list[list[nn.Parameter]]:
        """Return the backbone's (of a U-Net the encoder's) parameters, first stage first."""
        encoder = find_encoder(self.backbone)
        if hasattr(encoder, "parameters_by_stage"):
            return encoder.parameters_by_stage()
        return [list(encoder.parameters())]

    def _freeze(self, frozen: bool) -> None:
        self.is_frozen = frozen
        find_encoder(self.backbone).requires_grad_(not frozen)
        self.train(self.training)

    def report(self) -> None:
        """Log what the predictions since the last report were like, if the head has noticed."""
        if hasattr(self.head, "report"):
            self.head.report()


def regressor(
    *,
    backbone: BackboneName,
    weights: str = "imagenet",
    partial: bool = False,
    freeze: Freeze = "none",
    norm: Norm = "batch",
    init_output: Literal["mean", "center"] = "mean",
    basis: Literal["none", "pca"] = "none",
    components: PositiveInt = 40,
    refine: Rounds = 0,
    num_points: int,
    size: int,
    elementwise: Elementwise | None = None,
    mean_points=None,
    shapes=None,
) -> Landmarker:
    """Return a model that regresses coordinates from a torchvision network.

    Args:
        backbone, weights, partial: see `build_backbone`.
        freeze: see `Landmarker`.
        norm: see `landmarks.models.tuning.change_norms`.
        init_output: what is predicted before training: the training faces' mean shape, or the
            centre of the input for every point.
        basis: "none" predicts each coordinate by itself; "pca" the coefficients of a basis of the
            training shapes, and what is left of each coordinate; see `BasisOffsets`.
        components: modes of the basis "pca".
        refine: rounds of corrections by finer features, see `Corrections`; 0: none.
        num_points, size, elementwise: see `RegressionHead`.
        mean_points: (K, 2) pixels, for init_output="mean".
        shapes: the basis "pca": has `mean` (K, 2), input pixels, and what `BasisOffsets` takes.

    Raises:
        UserError: see `build_backbone` and `change_norms`; for a basis about another shape than
            the one that is started from; for Adaptive Wing.
    """
    if basis == "pca" and init_output != "mean":
        raise UserError(
            f"model.basis=pca starts at the mean shape of its faces, which model.init_output="
            f"{init_output} is not: use model.init_output=mean."
        )
    body = build_backbone(backbone, weights, partial)
    corrections = None
    if refine:
        body = Unet(body, FINE_STRIDE, FINE_WIDTH, keeps_last=True)
        corrections = Corrections(FINE_WIDTH, num_points, size, FINE_STRIDE, refine)
    change_norms(body, norm)
    start = (mean_points if shapes is None else shapes.mean) if init_output == "mean" else None
    modes = components if basis == "pca" else None
    settings = num_points, size, elementwise, start, modes, shapes, corrections
    head = RegressionHead(body.channels[-1], *settings)
    return Landmarker(body, head, freeze)


def unet(
    *,
    backbone: BackboneName,
    weights: str = "imagenet",
    partial: bool = False,
    freeze: Freeze = "none",
    norm: Norm = "batch",
    width: PositiveInt = 96,
    stride: Stride = 4,
    num_points: int,
    size: int,
    elementwise: Elementwise | None = None,
    mean_points=None,
    sigma: Positive | Range = 1.0,
    decoder: DecoderName = "dark",
    weight: NonNegative = 10.0,
    chunk: Literal["auto"] | PositiveInt = "auto",
    fuse: Literal["auto"] | bool = "auto",
) -> Landmarker:
    """Return a model that predicts a heatmap a landmark, from a torchvision encoder's U-Net.

    Args:
        backbone, weights, partial: of the encoder, see `build_backbone`.
        freeze: of the encoder, see `Landmarker`.
        norm: see `landmarks.models.tuning.change_norms`.
        width: channels the maps are made from.
        stride: input pixels a cell of the heatmaps.
        mean_points: not used; maps start near zero.
        num_points, size, elementwise, sigma, decoder, weight, chunk, fuse: see `HeatmapHead`.

    Raises:
        UserError: see `build_backbone` and `change_norms`.
    """
    body = Unet(build_backbone(backbone, weights, partial), stride, width)
    change_norms(body, norm)
    head = HeatmapHead(*(width, num_points, size, elementwise, sigma, decoder, weight, chunk, fuse))
    return Landmarker(body, head, freeze)


def classic_unet(
    *,
    stride: Stride = 1,
    norm: Literal["batch", "group"] = "batch",
    num_points: int,
    size: int,
    elementwise: Elementwise | None = None,
    mean_points=None,
    sigma: Positive | Range = 4.0,
    decoder: DecoderName = "dark",
    weight: NonNegative = 10.0,
    chunk: Literal["auto"] | PositiveInt = "auto",
    fuse: Literal["auto"] | bool = "auto",
) -> Landmarker:
    """Return the U-Net of 2015, from scratch; arguments as in `unet`."""
    body = ClassicUnet(stride)
    change_norms(body, norm)
    head = HeatmapHead(
        *(body.channels[-1], num_points, size, elementwise, sigma, decoder, weight, chunk, fuse)
    )
    return Landmarker(body, head)
