"""torchvision classification networks as feature extractors that publish channels and strides."""

from operator import attrgetter
from pathlib import Path
from typing import Annotated

import torchvision
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights, list_models
from torchvision.models.feature_extraction import create_feature_extractor

from landmarks.models.backbone_weights import load_weights
from landmarks.models.feature_stages import stages_of
from landmarks.models.model_contracts import Backbone
from landmarks.settings import Rule

ONE_SIZE, NO_STRIDE = "takes one input size only", "has feature maps without a whole stride"
UNFIT = {  # how torchvision's networks that are no backbones begin, and why they are none
    "alexnet": NO_STRIDE,
    "googlenet": "scales its input itself, depending on its weights",
    "inception": NO_STRIDE,
    "maxvit": ONE_SIZE,
    "squeezenet": NO_STRIDE,
    "vit": ONE_SIZE,
}
TORCHVISION = list_models(module=torchvision.models)
NAMES = [name for name in TORCHVISION if not name.startswith(tuple(UNFIT))]


def _why_not(name: str) -> str:
    """Return why a network of torchvision's is no backbone; "" for a name that is not its."""
    reasons = [UNFIT[begin] for begin in UNFIT if name.startswith(begin) and name in TORCHVISION]
    return "".join(f"torchvision has {name}, but it {reason}." for reason in reasons)


BackboneName = Annotated[
    str,
    Rule(
        lambda name: name in NAMES,
        "a torchvision network that gives feature maps at any input size, such as resnet34 (of the "
        "families convnext, densenet, efficientnet, mnasnet, mobilenet, regnet, resnet, resnext, "
        "shufflenet, swin, vgg, wide_resnet)",
        NAMES,
        _why_not,
    ),
]


# Of batch norms; torch's default. MobileNet, EfficientNet and MNASNet come with 0.01 and less, for
# hundreds of epochs of ImageNet: in a few hundred steps their statistics would lag behind.
MOMENTUM = 0.1


class TorchvisionBackbone(Backbone):
    """The feature maps of a torchvision classification network, fine to coarse.

    Args:
        name: one of `NAMES`; its weights are random.

    The last stride is 32; most families begin at 2, ConvNeXt at 4, and Swin gives the last map
    alone. Images are normalised as torchvision does for its weights.
    """

    def __init__(self, name: str):
        super().__init__()
        network = get_model(name, weights=None)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = MOMENTUM
        found = stages_of(name, network)
        self.stages = create_feature_extractor(
            network, {stage.node: str(stage.stride) for stage in found}
        )
        # ConvNeXt normalises in its classifier, after averaging; here every cell is normalised.
        # The attribute has torchvision's name, so that its weights fit.
        norm = dict(network.named_modules()).get("classifier.0")
        self.classifier = nn.Sequential(*[norm] if isinstance(norm, nn.LayerNorm) else [])
        self.channels = [stage.channels for stage in found]
        self.strides = [stage.stride for stage in found]
        published = get_model_weights(name).DEFAULT.transforms()
        self.mean, self.std = tuple(published.mean), tuple(published.std)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the feature maps (B, C, h, w); h is H / stride, rounded up or (VGG) down."""
        *finer, last = self.stages(images).values()
        return [*finer, self.classifier(last)]

    def parameters_by_stage(self) -> list[list[nn.Parameter]]:
        """Return for each feature map the parameters between the one before and it.

        A map that is only pooled from the one before has none and is left out.
        """
        nodes = list(self.stages.graph.nodes)
        ends = list(nodes[-1].args[0].values())
        stage, stage_of = 0, {}
        for node in nodes:
            if node.op in ("call_module", "get_attr"):
                used = attrgetter(node.target)(self.stages)
                for parameter in used.parameters() if isinstance(used, nn.Module) else [used]:
                    stage_of.setdefault(id(parameter), stage)
            if stage < len(ends) and node is ends[stage]:
                stage += 1
        last = len(ends) - 1  # the norm after the graph belongs to it too
        stages = [
            [p for p in self.parameters() if stage_of.get(id(p), last) == stage]
            for stage in range(len(ends))
        ]
        return [stage for stage in stages if stage]


def build_backbone(name: BackboneName, weights: str | Path, partial: bool = False) -> Backbone:
    """Return a torchvision network without its classifier.

    Args:
        name: torchvision's name of it, such as "resnet34".
        weights: "imagenet" (torchvision's published ones), "none" (random), or a file.
        partial: take what fits of a file, even if it is less than half.

    Raises:
        UserError: for weights that cannot be had.
        ValueError: for a name that torchvision does not know.
    """
    backbone = TorchvisionBackbone(name)
    load_weights(backbone, name, weights, partial)
    return backbone
