"""torchvision classification networks as feature extractors that publish channels and strides."""

import torch
from torch import Tensor, nn
from torchvision.models import get_model, list_models
from torchvision.models.feature_extraction import create_feature_extractor

from landmarks.errors import UserError, did_you_mean
from landmarks.models.weights import load_weights

STAGES = ("layer1", "layer2", "layer3", "layer4")  # torchvision's names in ResNet and ResNeXt


class Backbone(nn.Module):
    """Images (B, 3, H, W), normalised -> a list of feature maps, fine to coarse.

    Attributes:
        channels, strides: of each feature map; a stride is in input pixels per cell.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.stages = create_feature_extractor(network, {name: name for name in STAGES})
        side = 128
        with torch.no_grad():
            # Measured rather than written down; batch statistics must not see the probe.
            maps = self.eval()(torch.zeros(1, 3, side, side))
        self.train()
        self.channels = [features.shape[1] for features in maps]
        self.strides = [side // features.shape[2] for features in maps]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the feature maps (B, C, H / stride, W / stride) of every stage."""
        return list(self.stages(images).values())


def build_backbone(name: str, weights: str) -> Backbone:
    """Return a torchvision ResNet or ResNeXt, without its classifier.

    Args:
        name: torchvision's name of it, such as "resnet34".
        weights: "imagenet" (torchvision's published ones), "none" (random), or a file.

    Raises:
        UserError: for an unknown name, or weights that cannot be had.
    """
    known = [
        known
        for known in list_models(module=None)
        if known.startswith(("resnet", "resnext", "wide_resnet"))
    ]
    if name not in known:
        raise UserError(
            f"model.backbone={name}: there is no such backbone.{did_you_mean(name, known)} "
            f"The choices are {', '.join(known)}."
        )
    network = get_model(name, weights=None)
    load_weights(network, name, weights)
    return Backbone(network)
