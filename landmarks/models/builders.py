"""Models by name: a backbone, a head, and the settings that configs/model gives them."""

from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from landmarks.losses import Elementwise
from landmarks.models.backbone_weights import Partial, WeightsName
from landmarks.models.backbones import BackboneName, build_backbone
from landmarks.models.freezing import Freeze, Norm, SyncsNorms, settle_norms
from landmarks.models.heads import Refinement, RegressionHead
from landmarks.models.heatmap_head import HeatmapHead
from landmarks.models.landmarker import Landmarker
from landmarks.models.unet import ClassicUnet, Unet
from landmarks.settings import DecoderName, NonNegative, Positive, PositiveInt, Range, Rounds, flat

FINE_STRIDE, FINE_WIDTH = 8, 96  # of the features that refine a regression
Stride = Literal[1, 2, 4]  # input pixels a cell of a heatmap


@dataclass(frozen=True, kw_only=True)
class Network:
    """A torchvision network, and what of it is trained.

    See `build_backbone`, for `freeze` `Landmarker`, for `norm` and
    `sync_norm` `settle_norms`.
    """

    backbone: BackboneName
    weights: WeightsName = "imagenet"
    partial: Partial = False
    freeze: Freeze = "none"
    norm: Norm = "batch"
    sync_norm: SyncsNorms = True

    def build(self) -> nn.Module:
        """Return the network as a backbone."""
        return build_backbone(self.backbone, self.weights, self.partial)


@dataclass(frozen=True, kw_only=True)
class Maps:
    """How heatmaps are trained and decoded; see `HeatmapHead`."""

    decoder: DecoderName = "dark"
    weight: NonNegative = 10.0
    chunk: Literal["auto"] | PositiveInt = "auto"
    fuse: Literal["auto"] | bool = "auto"


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a model is built for, as it is known once the data are read.

    Args:
        num_points: K.
        input_size: side of the input, in pixels.
        elementwise: a loss of `landmarks.losses`; None for a model that only predicts.
        mean_points: (K, 2) pixels, the training faces' mean shape; None: not known.
    """

    num_points: int
    input_size: int
    elementwise: Elementwise | None = None
    mean_points: Any = None

    def tell_head(self) -> tuple[int, int, Elementwise | None]:
        """Return what every head is told of it."""
        return self.num_points, self.input_size, self.elementwise


@flat
def regressor(
    *,
    network: Network,
    init_output: Literal["mean", "center"] = "mean",
    refine: Rounds = 0,
    known: Known,
) -> Landmarker:
    """Return a model that regresses coordinates from a torchvision network.

    Args:
        init_output: what is predicted before training: the training faces' mean shape, or the
            centre of the input for every point.
        refine: rounds of refinement by finer features, see `Refinement`; 0: none.
        known: see `Known`; mean_points for init_output="mean".

    Raises:
        UserError: see `build_backbone` and `settle_norms`; for Adaptive Wing.
    """
    body = network.build()
    refinement = None
    if refine:
        body = Unet(body, FINE_STRIDE, FINE_WIDTH, keeps_last=True)
        size = known.input_size
        refinement = Refinement(FINE_WIDTH, known.num_points, size, FINE_STRIDE, refine)
    settle_norms(body, network.norm, network.sync_norm)
    start = known.mean_points if init_output == "mean" else None
    head = RegressionHead(body.channels[-1], *known.tell_head(), start, refinement)
    return Landmarker(body, head, network.freeze)


@flat
def unet(
    *,
    network: Network,
    width: PositiveInt = 96,
    stride: Stride = 4,
    known: Known,
    sigma: Positive | Range = 1.0,
    maps: Maps,
) -> Landmarker:
    """Return a model that predicts a heatmap a landmark, from a torchvision encoder's U-Net.

    Args:
        network: the encoder.
        width: channels the maps are made from.
        stride: input pixels a cell of the heatmaps.
        known: see `Known`; mean_points is not used: maps start near zero.
        sigma, maps: see `HeatmapHead`.

    Raises:
        UserError: see `build_backbone` and `settle_norms`.
    """
    body = Unet(network.build(), stride, width)
    settle_norms(body, network.norm, network.sync_norm)
    head = HeatmapHead(width, *known.tell_head(), sigma, **vars(maps))
    return Landmarker(body, head, network.freeze)


@flat
def classic_unet(
    *,
    stride: Stride = 1,
    norm: Literal["batch", "group"] = "batch",
    sync_norm: SyncsNorms = True,
    known: Known,
    sigma: Positive | Range = 4.0,
    maps: Maps,
) -> Landmarker:
    """Return the U-Net of 2015, from scratch; arguments as in `unet`."""
    body = ClassicUnet(stride)
    settle_norms(body, norm, sync_norm)
    channels = body.channels[-1]
    head = HeatmapHead(channels, *known.tell_head(), sigma, **vars(maps))
    return Landmarker(body, head)
