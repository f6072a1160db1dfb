"""torchvision classification networks as feature extractors that publish channels and strides."""

import math
from operator import attrgetter
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
import torchvision
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torchvision.models import get_model, get_model_weights, list_models
from torchvision.models.feature_extraction import NodePathTracer, create_feature_extractor

from landmarks.models.backbone_weights import load_weights
from landmarks.models.model_protocols import Backbone
from landmarks.settings import Rule

COARSEST_STRIDE = 32  # the stride of every classification network's last feature map
# Not square: a feature map cannot be taken for channels last.
PROBE = (2 * COARSEST_STRIDE, 4 * COARSEST_STRIDE)
_FOUND: dict[tuple[str, str], list["Stage"]] = {}
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
# Of batch norms; torch's default. MobileNet, EfficientNet and MNASNet come with 0.01 and less, for
# hundreds of epochs of ImageNet: in a few hundred steps their statistics would lag behind.
MOMENTUM = 0.1


class Stage(NamedTuple):
    """A feature map: the node of the network's graph it leaves, its channels and its stride."""

    node: str
    channels: int
    stride: int


def stages_of(name: str, network: nn.Module) -> list[Stage]:
    """Return `find_stages` of a network by its name; networks that are alike are traced once."""
    key = name, repr(network)
    if key not in _FOUND:
        _FOUND[key] = find_stages(network)
    return _FOUND[key]


def find_stages(network: nn.Module) -> list[Stage]:
    """Return the last feature map at every stride of a torchvision network, fine to coarse.

    The last map always exists. Finer ones, down to stride 2, are returned as long as each has half
    the stride of the next.

    Args:
        network: one that takes any input size; it is run once, on a small image.
    """
    shapes = _trace_shapes(network)
    strides = {node: _stride(shape) for node, shape in shapes.items()}
    last = {strides[node]: node for node in _between_blocks(strides)}
    stages, stride = [], COARSEST_STRIDE
    while stride > 1 and stride in last:
        stages.insert(0, Stage(last[stride], shapes[last[stride]][1], stride))
        stride //= 2
    return stages


def _trace_shapes(network: nn.Module) -> dict[str, tuple]:
    """Return the shapes of all intermediate results of the network, by node name."""
    # Traced as create_feature_extractor does, so that nodes have the same names.
    operations = [kind for kind in vars(torchvision.ops).values() if isinstance(kind, type)]
    tracer = NodePathTracer(
        autowrap_modules=(math, torchvision.ops),
        leaf_modules=[kind for kind in operations if issubclass(kind, nn.Module)],
    )
    was_training = network.training
    graph = tracer.trace(network.eval())  # batch statistics must not see the probe
    with torch.no_grad():
        ShapeProp(fx.GraphModule(tracer.root, graph)).propagate(torch.zeros(1, 3, *PROBE))
    network.train(was_training)
    names = tracer.node_to_qualname
    computed = ((name, node.meta.get("tensor_meta")) for node, name in names.items())
    return {name: tuple(it.shape) for name, it in computed if hasattr(it, "shape")}


def _stride(shape: tuple) -> int | None:
    """Return the stride of a feature map (1, C, H, W), or None for any other tensor."""
    if len(shape) != 4 or PROBE[0] % shape[2] or shape[0] != 1:
        return None
    stride = PROBE[0] // shape[2]
    return stride if shape[3] * stride == PROBE[1] and stride <= COARSEST_STRIDE else None


def _between_blocks(strides: dict[str, int | None]) -> list[str]:
    """Return the maps that leave a block, not those inside of one before it reduces the size.

    A block that halves the size often widens it first (inverted residuals, bottlenecks): the last
    map of the old size then lies inside of the block, and is not the output of the stage before.
    """
    entered: dict[str, int | None] = {}
    left: dict[str, int | None] = {}
    before = 1
    for node, stride in strides.items():
        for block in _blocks(node):
            entered.setdefault(block, before)
            left[block] = stride
        before = stride
    return [
        node
        for node, stride in strides.items()
        if stride and all(entered[b] != stride or left[b] == stride for b in _blocks(node))
    ]


def _blocks(node: str) -> list[str]:
    """Return the modules around a node, outermost first: "a.b.c" lies in "a" and "a.b"."""
    parts = node.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts))]


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
