"""The heatmap loss, forward and backward: over chunks, and by autograd on whole maps."""

import argparse
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.memory import extra_peak
from benchmarks.model import add_batch_options, prepare_device
from benchmarks.turns import add_rounds, median_ratio, say_seconds, take_turns
from landmarks.heatmaps.heatmap_loss import PEAK, choose_tile, heatmap_loss, pointwise
from landmarks.losses import adaptive_wing
from landmarks.machine import say_bytes

CHANNELS, CELLS = 64, 128
SIGMA, WEIGHT = 1.5, 10.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    add_batch_options(parser)
    parser.add_argument("--cells", type=int, default=CELLS, help="a side (default: %(default)s)")
    add_rounds(parser)


def measure(options: argparse.Namespace) -> dict:
    """Return {"floor_ratio", "compiled_speedup", "eager_speedup", "memory_ratio", ...}.

    floor_ratio is compiled against the three matrix products; the speedups and the ratio of extra
    peak memory (the larger of compiled and eager) are against plain autograd; max_rel_error is the
    largest error of the loss and of any gradient, relative to its largest element.
    """
    device = prepare_device(options)
    torch.backends.cudnn.allow_tf32 = False  # the reference's convolution is float32, as it says
    inputs = make_inputs(options.images, options.points, options.cells, device)
    eager = pointwise(adaptive_wing, WEIGHT)
    compiled = torch.compile(eager, dynamic=False)
    ways: dict[str, Callable] = {
        "compiled": lambda: differentiate(chunked, inputs, compiled),
        "eager": lambda: differentiate(chunked, inputs, eager),
        "plain": lambda: differentiate(plain, inputs, None),
        "products": lambda: multiply(inputs),
    }
    first = take_turns({"compiled": ways["compiled"]}, 1)["compiled"][0]
    found = {name: ways[name]() for name in ("compiled", "eager", "plain")}
    error = max(relative_error(found[name], found["plain"]) for name in ("compiled", "eager"))
    del found
    memory = {name: extra_peak(ways[name], device) for name in ("compiled", "eager", "plain")}
    take_turns(ways, 1)
    seconds = take_turns(ways, options.rounds)
    print(
        f"{CHANNELS} channels to {options.points} maps of {options.cells}x{options.cells}, "
        f"{options.images} images, Adaptive Wing, forward and backward, float32 on {device} "
        f"(threads: {torch.get_num_threads()}):"
    )
    for name, what in {
        "compiled": f"over chunks, compiled (first call {first:.1f} s)",
        "eager": "over chunks, eager",
        "plain": "whole maps, autograd",
        "products": "the three matrix products alone",
    }.items():
        said = f", {say_bytes(memory[name])} of extra peak memory" if name in memory else ""
        say_seconds(what + said, seconds[name])
    return {
        "floor_ratio": round(median_ratio(seconds["compiled"], seconds["products"]), 2),
        "compiled_speedup": round(median_ratio(seconds["plain"], seconds["compiled"]), 2),
        "eager_speedup": round(median_ratio(seconds["plain"], seconds["eager"]), 2),
        "memory_ratio": round(max(memory["compiled"], memory["eager"]) / memory["plain"], 3),
        "max_rel_error": float(f"{error:.2g}"),
        "first_call_s": round(first, 1),
        "seconds": round(median(seconds["compiled"]), 3),
        "extra_mib": round(memory["compiled"] / 2**20, 1),
    }


def make_inputs(images: int, points: int, cells: int, device: torch.device) -> list[Tensor]:
    """Return features, weight and bias, which need gradients, and centres and sigma."""
    random = torch.Generator().manual_seed(0)
    features = torch.randn(images, CHANNELS, cells, cells, generator=random).relu()
    weight = 0.02 * torch.randn(points, CHANNELS, generator=random)
    leaves = [
        features.to(device, memory_format=torch.channels_last),
        weight.to(device),
        torch.zeros(points, device=device),
    ]
    centres = (cells - 1) * torch.rand(images, points, 2, generator=random)
    return [
        *(leaf.requires_grad_() for leaf in leaves),
        centres.to(device),
        torch.tensor(SIGMA, device=device),
    ]


def differentiate(way: Callable, inputs: list[Tensor], function: Callable | None) -> list[Tensor]:
    """Return the loss and its gradients by features, weight and bias."""
    loss = way(*inputs, function)
    found = [loss.detach(), *torch.autograd.grad(loss, inputs[:3])]
    float(loss.detach())  # waits for the device
    return found


def chunked(features, weight, bias, centres, sigma, function) -> Tensor:
    """The package's way."""
    return heatmap_loss(features, weight, bias, centres, sigma, function)


def plain(features, weight, bias, centres, sigma, function) -> Tensor:
    """Whole maps and targets, the weighted loss of the paper, and autograd."""
    maps = functional.conv2d(features, weight[:, :, None, None], bias)
    height, width = maps.shape[2:]
    cell = torch.arange(max(height, width), device=maps.device)
    x, y = centres[..., 0, None], centres[..., 1, None]
    across = torch.exp(-((cell[:width] - x) ** 2) / (2 * sigma**2))
    down = torch.exp(-((cell[:height] - y) ** 2) / (2 * sigma**2))
    target = down[..., None] * across[..., None, :]
    near = functional.max_pool2d(target, 3, 1, 1) >= PEAK
    return (adaptive_wing(maps, target) * (1 + WEIGHT * near)).mean()


@torch.no_grad()
def multiply(inputs: list[Tensor]) -> None:
    """The products that no way can do without: maps, gradient by features, gradient by weight.

    Over the same chunks: the maps of a chunk stand in for their own gradient.
    """
    features, weight = inputs[:2]
    batch, _, height, width = features.shape
    flat = features.permute(0, 2, 3, 1).flatten(1, 2)
    by_features, by_weight = torch.zeros_like(flat), torch.zeros_like(weight)
    images, chunk, _ = choose_tile(batch, height * width, len(weight), None, flat.device.type)
    for k in range(0, len(weight), chunk):
        rows = weight[k : k + chunk]
        for first in range(0, batch, images):
            values = flat[first : first + images].flatten(0, 1)
            maps = values @ rows.T
            by_features[first : first + images].flatten(0, 1).addmm_(maps, rows)
            by_weight[k : k + chunk].addmm_(maps.T, values)
    float(by_weight[0, 0])  # waits for the device


def relative_error(found: list[Tensor], wanted: list[Tensor]) -> float:
    """Return the largest error of any element over its tensor's largest element."""
    pairs = zip(found, wanted, strict=True)
    return max(float((ours - theirs).abs().max() / theirs.abs().max()) for ours, theirs in pairs)
