"""The least that a training step computes: its convolutions and matrix products, nothing between.

Forward and backward, in bfloat16 and channels last, on tensors of the right shapes that are there
already; on CUDA recorded as one graph. What a step takes beyond this goes to memory and launches.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from landmarks.models.landmarker import Landmarker
from landmarks.training.cuda_graphs import record

LAST = torch.channels_last


class Floor:
    """The products of a step of a model.

    Args:
        model: on the device.
        images: (B, 3, S, S) on the device.

    Attributes:
        flops: floating-point operations, a multiplication and an addition counted as two.
    """

    def __init__(self, model: Landmarker, images: Tensor):
        self.flops, self.work = 0.0, []
        for layer, inputs, outputs in _list_layers(model, images):
            add = self._convolve if isinstance(layer, nn.Conv2d) else self._multiply
            add(layer, inputs, outputs)
        self._launch()  # libraries choose their kernels
        self.run = record(self._launch, images.device)

    def __call__(self) -> None:
        """Compute them all once, without waiting for the device."""
        self.run()

    def _launch(self) -> None:
        for compute in self.work:
            compute()

    def _convolve(self, layer: nn.Conv2d, inputs: tuple, outputs: tuple) -> None:
        values, gradient = (_random(shape, layer.weight, LAST) for shape in (inputs, outputs))
        weight = _random(layer.weight.shape, layer.weight, LAST)
        where = list(layer.stride), list(layer.padding), list(layer.dilation)
        how = (*where, False, [0, 0], layer.groups)
        wanted = [bool(self.work), True, False]  # nobody needs the images' gradient
        backward = torch.ops.aten.convolution_backward

        def compute() -> None:
            torch.ops.aten.convolution(values, weight, None, *how)
            backward(gradient, values, weight, None, *how, wanted)

        products = 2 * gradient.numel() * weight[0].numel()
        self.flops += products * (3 if wanted[0] else 2)
        self.work.append(compute)

    def _multiply(self, weight: Tensor | nn.Linear, inputs: tuple, outputs: tuple) -> None:
        weight = weight.weight if isinstance(weight, nn.Linear) else weight
        values, gradient, weight = (_random(s, weight) for s in (inputs, outputs, weight.shape))

        def compute() -> None:
            torch.mm(values, weight.T)
            torch.mm(gradient, weight)
            torch.mm(gradient.T, values)

        self.flops += 6 * values.numel() * len(weight)
        self.work.append(compute)


@torch.no_grad()
def _list_layers(model: Landmarker, images: Tensor) -> list[tuple]:
    """Return (layer, shape of its input, shape of its output) in the order they are run.

    Heatmaps are the product of all cells' features with the weights of all landmarks.
    """
    found: list[tuple] = []

    def note(layer: nn.Module, given: tuple, result: Tensor) -> None:
        found.append((layer, tuple(given[0].shape), tuple(result.shape)))

    layers = (m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    hooks = [layer.register_forward_hook(note) for layer in layers]
    with torch.autocast(images.device.type, torch.bfloat16):
        features = model.extract(images)
        if not model.head.has_maps:
            model.head.decode(features)
    for hook in hooks:
        hook.remove()
    if model.head.has_maps:
        weight = model.head.weight
        cells = features[-1].numel() // weight.shape[1]
        found.append((weight, (cells, weight.shape[1]), (cells, len(weight))))
    return found


def _random(shape: tuple, like: Tensor, memory_format=torch.contiguous_format) -> Tensor:
    values = torch.randn(shape, dtype=torch.bfloat16, device=like.device)
    return values.to(memory_format=memory_format)


def repeat(work: Callable[[], None], count: int, wait: Callable[[], None]) -> Callable[[], None]:
    """Return what does the work so many times and then waits for the device."""

    def repeated() -> None:
        for _ in range(count):
            work()
        wait()

    return repeated
