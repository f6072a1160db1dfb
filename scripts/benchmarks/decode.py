"""Decode perfect and noisy heatmaps, at 256 pixels to 64 cells, and time a face's 971 of them."""

import argparse
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.model import NUM_POINTS, add_device_options, prepare_device
from benchmarks.turns import add_rounds, take_turns
from landmarks.heatmaps.decoders import DECODERS, argmax

CELLS, STRIDE = 64, 4  # an input of 256 pixels
SIGMA, NOISE = 1.5, 0.02


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    add_device_options(parser)
    parser.add_argument("--maps", type=int, default=2000, help="default: %(default)s")
    add_rounds(parser, 7)


def measure(options: argparse.Namespace) -> dict:
    """Return {"rows": [{"decoder", "rms_px", "noisy_rms_px", "border_rms_px", "ms_per_face"}]}.

    Errors are root mean squares over x and y in input pixels: without noise and with it, 4 cells
    or more inside, and without noise from 2 cells inside to 1 cell outside of the left border.
    """
    device = prepare_device(options)
    random = torch.Generator().manual_seed(0)
    inside = 4 + (CELLS - 9) * torch.rand(options.maps, 2, generator=random)
    border = inside.clone()
    border[:, 0] = 3 * torch.rand(options.maps, generator=random) - 1
    perfect, cut = encode(inside), encode(border)
    noisy = perfect + NOISE * torch.randn(perfect.shape, generator=random)
    decoders = DECODERS | {"DARK as published": decode_as_published}

    face = inside[torch.arange(NUM_POINTS) % options.maps]
    # As a head makes them: last in memory are the points.
    maps = encode(face).to(device).contiguous(memory_format=torch.channels_last)
    ways: dict[str, Callable] = {
        name: lambda decode=decode: decode(maps, SIGMA)[0].cpu()
        for name, decode in decoders.items()
    }
    ways["one read of the maps"] = lambda: maps.permute(0, 2, 3, 1).reshape(-1).sum().cpu()
    take_turns(ways, 1)
    seconds = take_turns(ways, options.rounds)

    print(
        f"Errors of {options.maps} maps of sigma {SIGMA} cells, rms in input pixels; time for "
        f"{NUM_POINTS} maps of {CELLS}x{CELLS} on {device} (threads: {torch.get_num_threads()}):\n"
        f"  {'':<20} {'perfect':>8} {f'noise {NOISE}':>10} {'border':>8} {'ms a face':>10}"
    )
    rows = []
    for name, decode in decoders.items():
        errors = [
            measure_error(decode, heatmaps.to(device), truth)
            for heatmaps, truth in ((perfect, inside), (noisy, inside), (cut, border))
        ]
        spent = 1e3 * median(seconds[name])
        print(f"  {name:<20} {errors[0]:>8.3f} {errors[1]:>10.3f} {errors[2]:>8.3f} {spent:>10.2f}")
        keys = ("rms_px", "noisy_rms_px", "border_rms_px", "ms_per_face")
        values = [round(value, 4) for value in (*errors, spent)]
        rows.append({"decoder": name} | dict(zip(keys, values, strict=True)))
    read = "one read of the maps"
    print(f"  {read:<20} {'':>8} {'':>10} {'':>8} {1e3 * median(seconds[read]):>10.2f}")
    return {"rows": rows}


def encode(points: Tensor) -> Tensor:
    """Return the heatmaps (1, K, CELLS, CELLS) of points (K, 2) in cells."""
    profiles = torch.exp(-(torch.arange(CELLS) - points[..., None]).square() / (2 * SIGMA**2))
    return (profiles[:, 1, :, None] * profiles[:, 0, None, :])[None]


def measure_error(decode: Callable, maps: Tensor, truth: Tensor) -> float:
    """Return the root mean square over x and y, in input pixels."""
    points, _ = decode(maps, SIGMA)
    return STRIDE * float((points[0].cpu() - truth).square().mean().sqrt())


def decode_as_published(maps: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """DARK as in its paper: a blur of the map, then central differences of its logarithm.

    Source: Zhang et al., Distribution-Aware Coordinate Representation for Human Pose Estimation,
    CVPR 2020; kernel 11 up to sigma 2, 17 above, whose width is OpenCV's for that size.
    """
    size = 11 if sigma <= 2 else 17
    half = size // 2
    deviation = 0.3 * (half - 1) + 0.8
    kernel = torch.exp(-(torch.arange(-half, half + 1).to(maps) / deviation).square() / 2)
    kernel = kernel / kernel.sum()
    flat = maps.flatten(0, 1)[:, None]
    blurred = functional.conv2d(flat, kernel.view(1, 1, -1, 1), padding=(half, 0))
    blurred = functional.conv2d(blurred, kernel.view(1, 1, 1, -1), padding=(0, half))
    scale = maps.amax((2, 3)) / blurred.view(maps.shape).amax((2, 3))
    log = (blurred.view(maps.shape) * scale[..., None, None]).clamp(min=1e-10).log().flatten(2)
    cell, confidence = argmax(maps, sigma)
    x, y = cell.long().unbind(-1)
    height, width = maps.shape[2:]
    usable = (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2)

    def at(right: int, down: int) -> Tensor:
        index = (y + down).clamp(0, height - 1) * width + (x + right).clamp(0, width - 1)
        return log.gather(2, index[..., None])[..., 0]

    gradient = torch.stack([at(1, 0) - at(-1, 0), at(0, 1) - at(0, -1)], dim=-1) / 2
    xx = (at(2, 0) - 2 * at(0, 0) + at(-2, 0)) / 4
    yy = (at(0, 2) - 2 * at(0, 0) + at(0, -2)) / 4
    xy = (at(1, 1) - at(-1, 1) - at(1, -1) + at(-1, -1)) / 4
    usable &= xx * yy - xy.square() != 0
    hessian = torch.stack([xx, xy, xy, yy], dim=-1).unflatten(-1, (2, 2))
    hessian = torch.where(usable[..., None, None], hessian, -torch.eye(2, device=maps.device))
    step = torch.linalg.solve(hessian, -gradient)
    return cell + torch.where(usable[..., None], step, 0), confidence
