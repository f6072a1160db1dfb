"""Keypoint R-CNN of torchvision as a backbone and a head."""

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import get_model_weights
from torchvision.models.detection import KeypointRCNN, keypointrcnn_resnet50_fpn

from landmarks.losses import Elementwise
from landmarks.models.backbone_weights import Partial, WeightsName, load_weights
from landmarks.models.freezing import SyncsNorms, settle_norms
from landmarks.models.keypoint_rcnn.rcnn_head import RcnnHead
from landmarks.models.landmarker import Landmarker
from landmarks.models.model_protocols import Backbone
from landmarks.settings import DecoderName, NonNegative, PositiveInt

NAME = "keypointrcnn_resnet50_fpn"  # torchvision's
STRIDE = 32  # of the ResNet's last map
JUDGED_BOXES = 4  # boxes to classify as face or not, for each box with landmarks


class FpnBackbone(Backbone):
    """Images (B, 3, S, S), normalised -> the feature maps of a ResNet-50 with FPN, fine to coarse.

    Args:
        network: the detector whose backbone it is.
        freeze: norms, stem and first stage are not trained.
    """

    def __init__(self, network: KeypointRCNN, freeze: bool):
        super().__init__()
        self.body, self.fpn, self.freeze = network.backbone.body, network.backbone.fpn, freeze
        self.channels, self.strides = [network.backbone.out_channels] * 5, [4, 8, 16, 32, 64]
        self.mean = tuple(network.transform.image_mean)
        self.std = tuple(network.transform.image_std)
        if freeze:
            for module in (self.body.conv1, self.body.layer1, *self._norms()):
                module.requires_grad_(False)

    def _norms(self) -> list[nn.BatchNorm2d]:
        return [module for module in self.body.modules() if isinstance(module, nn.BatchNorm2d)]

    def train(self, mode: bool = True) -> "FpnBackbone":
        """Set the mode; frozen norms stay in evaluation mode."""
        super().train(mode)
        # torchvision's FrozenBatchNorm2d holds other tensors, which would not fit checkpoints of
        # models that are not frozen.
        for norm in self._norms() if self.freeze else []:
            norm.eval()
        return self

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the maps; images are padded to whole cells at the right and the bottom."""
        more = -images.shape[-1] % STRIDE
        return list(self.fpn(self.body(functional.pad(images, (0, more, 0, more)))).values())


def keypoint_rcnn(
    *,
    weights: WeightsName = "coco",
    partial: Partial = False,
    freeze: Literal["auto"] | bool = "auto",
    norm: Literal["batch", "group"] = "batch",
    sync_norm: SyncsNorms = True,
    init_output: Literal["mean", "uniform"] = "mean",
    proposals: PositiveInt = 256,
    boxes: PositiveInt = 2,
    margin: NonNegative = 0.1,
    sigma: NonNegative = 1.5,
    decoder: DecoderName = "local",
    chunk: Literal["auto"] | PositiveInt = "auto",
    num_points: int,
    input_size: int,
    elementwise: Elementwise | None = None,
    mean_points=None,
) -> Landmarker:
    """Return torchvision's keypointrcnn_resnet50_fpn with K landmarks, one face an image.

    Images are not resized. The losses are the network's own: binary cross entropy and smooth L1 of
    proposals and boxes, and the cross entropy of each landmark's map.

    Args:
        weights: "coco" (torchvision's published ones, of persons with 17 keypoints; all are
            used but the last layer), "none" or a file: a detector's, or a ResNet-50's.
        partial: see `load_weights`.
        freeze: see `FpnBackbone`; "auto": if there are weights.
        norm, sync_norm: of the ResNet, see `landmarks.models.freezing.settle_norms`; "group" suits
            small batches from random weights (He et al., Rethinking ImageNet Pre-training, ICCV
            2019).
        init_output: where landmarks are expected before training: "mean" about the training faces'
            mean shape in its box, "uniform" anywhere, as published.
        proposals: boxes an image that may be the face.
        boxes, margin, sigma, decoder, chunk: see `RcnnHead`.
        num_points, input_size: K, and the input's side in pixels.
        elementwise: not used: the head has losses of its own.
        mean_points: (K, 2) input pixels, for init_output="mean".

    Raises:
        UserError: for weights that cannot be had.
    """
    network = keypointrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_keypoints=num_points,
        rpn_pre_nms_top_n_train=proposals,  # of each map
        rpn_pre_nms_top_n_test=proposals,
        rpn_post_nms_top_n_train=proposals,
        rpn_post_nms_top_n_test=proposals,
        box_batch_size_per_image=max(64, JUDGED_BOXES * boxes),
    )
    freeze = weights != "none" if freeze == "auto" else freeze
    body = FpnBackbone(network, freeze)
    start = mean_points if init_output == "mean" else None
    held = None if chunk == "auto" else chunk
    head = RcnnHead(network, input_size, margin, boxes, sigma, decoder, start, held)
    # By torchvision's names, without the layer whose rows are landmarks.
    named = nn.ModuleDict({"backbone": body, "rpn": head.rpn, "roi_heads": head.roi_heads})
    load_weights(named, NAME, weights, partial, whole=True)
    published = get_model_weights(NAME).DEFAULT.url.rpartition("/")[2]
    if weights == "coco" or Path(weights).name == published:
        forget_epsilon(body)
    settle_norms(body, norm, sync_norm)
    return Landmarker(body, head)


def forget_epsilon(backbone: nn.Module) -> None:
    """Scale batch norms so that they work as without an epsilon.

    torchvision's COCO weights were trained with epsilon 0.
    """
    with torch.no_grad():
        for norm in backbone.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.weight *= (1 + norm.eps / norm.running_var).sqrt()
