"""Where a torchvision network's feature maps change size: the nodes to take feature maps from."""

import math
from typing import NamedTuple

import torch
import torchvision
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torchvision.models.feature_extraction import NodePathTracer

COARSEST_STRIDE = 32  # the stride of every classification network's last feature map
# Not square: a feature map cannot be taken for channels last.
PROBE = (2 * COARSEST_STRIDE, 4 * COARSEST_STRIDE)
_FOUND: dict[tuple[str, str], list["Stage"]] = {}


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
