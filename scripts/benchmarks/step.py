"""A whole training step and a prediction of heatmap models, against the same in plain PyTorch."""

import argparse
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from torch import Tensor

from benchmarks.model import SIZE, add_batch_options, prepare_device
from benchmarks.turns import add_rounds, median_ratio, say_seconds, take_turns
from benchmarks.writeup import WholeMaps, adaptive_wing_loss, draw_targets, expect_points
from landmarks.losses import adaptive_wing
from landmarks.models.builders import classic_unet, unet
from landmarks.models.landmarker import Landmarker
from landmarks.training.optimizers import adamw
from landmarks.training.precision import Precision
from landmarks.training.predict_batch import WARM_UP, Forward, choose_forward

SIGMA = 3.0  # input pixels


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    add_batch_options(parser)
    parser.add_argument("--size", type=int, default=SIZE, help="pixels (default: %(default)s)")
    add_rounds(parser)


def measure(options: argparse.Namespace) -> dict:
    """Return how many times faster {"unet", "unet_resnet34"} train and {"predict_..."} predict."""
    device, size = prepare_device(options), options.size
    random = torch.Generator().manual_seed(0)
    shape = (options.images, 3, size, size)
    images = torch.randint(0, 256, shape, generator=random, dtype=torch.uint8)
    points = (size - 1) * torch.rand(options.images, options.points, 2, generator=random)
    models = heatmap_models(options.points, size)
    precision = Precision("auto", device)
    ways: dict[str, Callable] = {}
    for name, model in models.items():
        model = model.to(device, memory_format=torch.channels_last)
        ways[name] = Ours(model, images, points, precision)
    ways["plain"] = Plain(WholeMaps(options.points).to(device), images, points.numpy(), device)
    predictions = {f"predict_{name}": way.predict for name, way in ways.items()}
    seconds = {}
    for timed in (ways, predictions):
        take_turns(timed, 2)  # compiles, allocates and tunes
        seconds |= take_turns(timed, options.rounds)
    print(
        f"{options.points} points, {options.images} images of {size} pixels, on {device} (threads: "
        f"{torch.get_num_threads()}); ours with amp {precision.name}, channels_last:"
    )
    for name, what in {
        "plain": f"plain, maps of {size}x{size}",
        "unet": "unet, stride 1",
        "unet_resnet34": "unet_resnet34, stride 2",
    }.items():
        say_seconds(f"training step, {what}", seconds[name])
        say_seconds(f"prediction, {what}", seconds[f"predict_{name}"])
    per_image = {
        f"{name}_s": round(median(spent) / options.images, 4) for name, spent in seconds.items()
    }
    return {
        name: round(median_ratio(seconds[name.replace(base, "plain")], seconds[name]), 2)
        for prefix in ("", "predict_")
        for base in models
        for name in [prefix + base]
    } | per_image


def heatmap_models(num_points: int, size: int = SIZE) -> dict[str, Landmarker]:
    """Return the classic U-Net with maps of the input's size, and a faster one with half of it."""
    torch.manual_seed(0)
    known = {"num_points": num_points, "input_size": size, "elementwise": adaptive_wing}
    return {
        "unet": classic_unet(sigma=SIGMA, **known),
        "unet_resnet34": unet(
            backbone="resnet34", weights="none", stride=2, sigma=SIGMA / 2, **known
        ),
    }


class Ours:
    """A model's step as the package takes it: uint8 images and points in, weights updated."""

    def __init__(self, model, images: Tensor, points: Tensor, precision: Precision):
        self.model, self.images, self.points = model, images, points
        self.optimizer, self.precision = adamw(model, lr=1e-3), precision
        self.forward: Forward | None = None
        self.to_image = torch.eye(2, 3, device=precision.device).repeat(len(images), 1, 1)

    def __call__(self) -> None:
        """Take a training step."""
        device = self.precision.device
        self.model.train()
        with self.precision.autocast():
            loss = self.model(self.images.to(device), self.points.to(device))
        self.precision.scaler.scale(loss).backward()
        self.precision.step(self.optimizer, None)
        self.optimizer.zero_grad(set_to_none=True)
        float(loss.detach())  # waits for the device

    @torch.inference_mode()
    def predict(self) -> Tensor:
        """Return points on the host."""
        if self.forward is None:
            self.forward = choose_forward("auto", self.model, self.precision)
            self.forward.open(self.model.eval())
            for _ in range(WARM_UP):
                self.predict()
        images = self.images.to(self.precision.device)
        return self.forward(images, self.to_image)[0].cpu()


class Plain:
    """The same in plain PyTorch."""

    def __init__(self, model, images: Tensor, points: np.ndarray, device: torch.device):
        self.model, self.images, self.points, self.device = model, images, points, device
        self.optimizer = torch.optim.Adam(model.parameters(), 1e-3)

    def __call__(self) -> None:
        """Take a training step, the targets included: the loader makes them for every step."""
        size = self.images.shape[-1]
        targets = np.stack([draw_targets(face, size, SIGMA) for face in self.points])
        self.model.train()
        maps = self.model(self.images.to(self.device) / 255)
        loss = adaptive_wing_loss(maps, torch.from_numpy(targets).to(self.device))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        float(loss.detach())

    @torch.inference_mode()
    def predict(self) -> Tensor:
        """Return points on the host."""
        self.model.eval()
        return expect_points(self.model(self.images.to(self.device) / 255)).cpu()
