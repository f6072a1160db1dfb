"""A training on noise: its model, batches and steps are those of the settings, its faces are not.

So that steps can be measured where the data are not, and without the caches that they fill.
"""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from landmarks.commands.planning.step_times import (
    Measured,
    time_exchange,
    time_gather,
    time_prediction,
    time_steps,
)
from landmarks.commands.preparing.instantiate import build
from landmarks.commands.training_run.build_training import build_model, build_training
from landmarks.commands.training_run.initial_weights import InitialWeights
from landmarks.commands.training_run.train_settings import TrainSettings
from landmarks.commands.training_run.training_inputs import Inputs
from landmarks.data.batches.cached_crops import CanvasFaces, choose_margin
from landmarks.data.batches.fill_cached_crops import Canvas
from landmarks.data.batches.loader import Batches, choose_workers
from landmarks.data.faces import Faces
from landmarks.distributed import collectives, processes, store
from landmarks.layout import Layout
from landmarks.training.cpu_threads import use_threads
from landmarks.training.precision import Precision, choose_device
from landmarks.training.training_state import Training


def open_noise(settings: TrainSettings, points: int, device: torch.device) -> Inputs:
    """Return inputs as `open_inputs` does, of two batches of noise with random points.

    Args:
        settings: with a number for batch_size.
        points: K.
        device: where the model runs.
    """
    size, count = settings.input_size, 2 * settings.batch_size
    flip = np.arange(points) if settings.flip_test or settings.augment["flip"] > 0 else None
    named = {"input_size": size, "permutation": flip, "seed": settings.seed}
    augment = build(settings.augment, **named)
    margin = choose_margin(settings.crop, size) if augment.is_on and augment.moves else 0
    side = size + 2 * margin
    random = np.random.default_rng(settings.seed)
    where = (size * random.random((count, points, 2))).astype(np.float32)
    matrices = np.tile(np.eye(2, 3), (count, 1, 1))
    matrices[:, :, 2] = margin
    pixels = np.resize(random.integers(0, 256, 1 << 20, np.uint8), (count, side, side, 3))
    canvas = Canvas(pixels, matrices, np.zeros((count, 3), np.int64), np.ones(count, bool))
    faces = Faces(Path(), np.array([b"noise"] * count), where, source="noise")
    workers = choose_workers(settings.workers, device.type)
    how = {"workers": workers, "pin_memory": device.type == "cuda", "shared": True}
    rows = np.arange(count)
    plain = CanvasFaces(faces, canvas, size)
    training = Batches(
        CanvasFaces(faces, canvas, size, margin),
        rows,
        batch_size=settings.batch_size,
        seed=settings.seed,
        **how,
    )
    validation = Batches(plain, rows, batch_size=count, **how)
    return Inputs(
        faces,
        Layout("none", points),
        training,
        validation,
        validation,
        where.mean(0),
        None,
        np.ones(points, bool),
        flip,
        augment if augment.is_on else None,
        {},
        "noise",
    )


def open_rehearsal(settings: TrainSettings, points: int) -> tuple[Training, Inputs]:
    """Return a training that has taken no step, from random weights, and its inputs.

    Args:
        settings, points: see `open_noise`.

    Raises:
        UserError: as `landmarks train` does, for a device or a model that cannot be.
    """
    torch.manual_seed(settings.seed)
    precision = Precision(settings.amp, choose_device(settings.device))
    inputs = open_noise(settings, points, precision.device)
    initial = InitialWeights(_blank(settings.model))
    model = build_model(settings, initial, inputs)
    return build_training(settings, initial, inputs, precision, model), inputs


def _blank(model: dict) -> dict:
    """Return a model's settings with random weights; what they decide is as they decide it."""
    blank = {key: "none" if key == "weights" else model[key] for key in model}
    if model.get("freeze") == "auto":
        blank["freeze"] = model.get("weights", "none") != "none"
    return blank


def rehearse(settings: TrainSettings, points: int, seconds: float) -> Measured:
    """Measure a training by this process, or as one of several; return what it took.

    Args:
        settings, points: see `open_noise`.
        seconds: for which steps are measured; the rest takes about as long.
    """
    with collectives.joined(choose_device(settings.device)):
        training, inputs = open_rehearsal(settings, points)
        threads = use_threads(settings.threads, training.precision.device)
        gather = time_gather(inputs)
        step, busy = time_steps(training, inputs.training, seconds)
        share = min(1.0, busy / threads) if training.precision.device.type == "cpu" else 1.0
        predict = time_prediction(settings, training, inputs, seconds / 4)
        found = Measured(step, predict, gather, share)
        if processes.world() == 1:
            return found
        size = sum(p.numel() for p in training.model.parameters() if p.requires_grad)
        exchange, message = time_exchange(size, training.precision.device, seconds / 4)
    return replace(found, exchange=exchange, message=message)


def rehearse_rank(settings: TrainSettings, points: int, seconds: float) -> dict:
    """Be one of several processes that measure a training; return `Measured` as plain data."""
    store.meet()
    return asdict(rehearse(settings, points, seconds))
