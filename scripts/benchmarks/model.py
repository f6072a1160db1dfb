"""The model that benchmarks run, whose speed does not depend on its weights, and its device."""

import argparse

import numpy as np
import torch

from landmarks.losses import l1
from landmarks.models.builders import regressor
from landmarks.models.landmarker import Landmarker
from landmarks.training.precision import choose_device

BACKBONE, NUM_POINTS, SIZE = "resnet18", 971, 128


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """Add --device and --threads."""
    parser.add_argument("--device", default="auto", choices=["auto", "cuda", "cpu", "mps"])
    parser.add_argument(
        "--threads",
        type=int,
        help="torch's, on the CPU (default: one a core); 1 where other work keeps cores busy: "
        "threads that wait for one another would blur the result",
    )


def add_batch_options(parser: argparse.ArgumentParser) -> None:
    """Add what `add_device_options` does, --images and --points."""
    add_device_options(parser)
    parser.add_argument("--images", type=int, default=2, help="a batch (default: %(default)s)")
    parser.add_argument("--points", type=int, default=NUM_POINTS, help="default: %(default)s")


def prepare_device(options: argparse.Namespace) -> torch.device:
    """Return the device, with so many threads."""
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    return choose_device(options.device)


def random_model(num_points: int = NUM_POINTS) -> Landmarker:
    """Return a model with random weights."""
    torch.manual_seed(0)
    centre = np.full((num_points, 2), (SIZE - 1) / 2, np.float32)
    return regressor(
        backbone=BACKBONE,
        weights="none",
        num_points=num_points,
        input_size=SIZE,
        elementwise=l1,
        mean_points=centre,
    )
