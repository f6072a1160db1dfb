"""Trainings on a GPU whose steps are recorded or not, as the benchmark of a GPU takes them."""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from benchmarks.model import NUM_POINTS, SIZE
from benchmarks.train import EMA, random_batch
from landmarks.augment.augmentation import Augment
from landmarks.data.batches.cropped_faces import Batch
from landmarks.devices import move
from landmarks.losses import adaptive_wing, l1
from landmarks.models.builders import regressor, unet
from landmarks.models.landmarker import Landmarker
from landmarks.training.optimizers import adamw
from landmarks.training.precision import Precision
from landmarks.training.schedules import Cosine
from landmarks.training.training_state import Training
from landmarks.training.training_steps import WARM_UP
from landmarks.training.weight_averaging import Ema


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        size, points: S and K.
        batches: sizes of batches whose steps are timed; `images` a turn, in more or fewer steps.
        loop_steps: steps an epoch of the loop.
        faces, loaded: faces that are loaded, and how many in a batch.
        predicted, trained: faces in a batch of heatmaps.
        backbone: takes the place of all of torchvision's networks; None: none does.
    """

    size: int = SIZE
    points: int = NUM_POINTS
    batches: tuple[int, ...] = (32, 128, 512)
    images: int = 1024
    loop_steps: int = 200
    faces: int = 8192
    loaded: int = 256
    predicted: int = 16
    trained: int = 8
    backbone: str | None = None


TINY = Scale(32, 3, (2, 3), 2, 2, 4, 2, 1, 2, "shufflenet_v2_x0_5")


def release(device: torch.device) -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def build_model(name: str, scale: Scale) -> Landmarker:
    """Return a model of a backbone's name, or of unet_ and one, with random weights."""
    torch.manual_seed(0)
    known = {"weights": "none", "num_points": scale.points, "input_size": scale.size}
    known["backbone"] = scale.backbone or name.removeprefix("unet_")
    if name.startswith("unet_"):
        return unet(elementwise=adaptive_wing, **known)
    centre = np.full((scale.points, 2), (scale.size - 1) / 2, np.float32)
    return regressor(elementwise=l1, mean_points=centre, **known)


def start_training(
    model: Landmarker, precision: Precision, graph: bool, augment: Augment | None = None, ema=True
) -> Training:
    """Return a training that never ends."""
    model = model.to(precision.device, memory_format=torch.channels_last).train()
    average = Ema(model, EMA) if ema else None
    parts = model, adamw(model, lr=1e-3), Cosine(), precision, average
    training = Training(*parts, augment=augment, graph=graph)
    training.plan(10**9)
    return training


def batch_on(device: torch.device, count: int, scale: Scale, seed: int = 0) -> Batch:
    """Return a random batch that lies on the device."""
    batch = random_batch(count, seed, scale.size, scale.points)
    moved = (move(values, device) for values in batch[:3])  # rows and readable stay, as a cache's
    return Batch(*moved, *batch[3:])


def take_step(training: Training, batch: Batch) -> None:
    """Take a step without waiting for the device."""
    training.backward(batch)
    training.update()


def warm_up(training: Training, batch: Batch) -> Callable[[], None]:
    """Take the first steps, which compile and record; return what takes one more."""
    for _ in range(WARM_UP + 1):
        take_step(training, batch)
    return partial(take_step, training, batch)
