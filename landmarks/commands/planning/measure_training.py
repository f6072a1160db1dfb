"""Measures a training for a plan, on noise: by one process, or several where these can start."""

import math
import os
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from landmarks.commands.planning.planned_training import Planned
from landmarks.commands.planning.step_times import (
    Measured,
    time_exchange,
    time_gather,
    time_prediction,
    time_steps,
)
from landmarks.commands.preparing.config_groups import build
from landmarks.commands.training_run.build_training import build_model, build_training
from landmarks.commands.training_run.initial_weights import InitialWeights
from landmarks.commands.training_run.train_settings import TrainSettings
from landmarks.commands.training_run.training_inputs import Inputs
from landmarks.data.batches.cached_crops import Canvas, CanvasFaces, choose_margin
from landmarks.data.batches.loader import Batches, choose_workers
from landmarks.data.faces import Faces
from landmarks.distributed import collectives, processes, rank_messages
from landmarks.distributed.launch_ranks import RANKS_A_CORE, run_ranks
from landmarks.errors import UserError
from landmarks.layout import Layout
from landmarks.machine import count_cores, free_memory
from landmarks.training.cpu_threads import use_threads
from landmarks.training.precision import Precision, choose_device
from landmarks.training.scaling_model import GB, MICRO, Machine
from landmarks.training.training_state import Training

CPU = torch.device("cpu")


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
    rank_messages.meet()
    return asdict(rehearse(settings, points, seconds))


def can_start(known: Planned, ranks: int) -> bool:
    """Say whether so many ranks can be started here to be measured."""
    device, needed = known.training.precision.device.type, known.needed
    if ranks == 1:
        return True
    if device != "cpu":
        return device == "cuda" and ranks <= torch.cuda.device_count()
    free = free_memory(CPU)
    least = 0 if needed is None else ranks * needed.total(known.settings.batch_size // ranks)
    return (free is None or least <= free) and ranks <= RANKS_A_CORE * count_cores()


def measure(known: Planned, ranks: int) -> Measured:
    """Return what so many ranks measure of their steps, the slowest of them.

    Raises:
        UserError: if they cannot be started.
    """
    settings, points = known.settings, known.data.points
    if ranks == 1:
        return rehearse(settings, points, settings.seconds)
    own = replace(settings, threads=threads_of(known, ranks))
    try:
        found = run_ranks(ranks, rehearse_rank, own, points, settings.seconds)
    except ChildFailedError as error:
        number, failure = error.get_first_failure()
        said = failure.message if isinstance(failure.message, str) else failure.message["message"]
        raise UserError(
            f"Rank {number} of the {ranks} that were started to measure has failed "
            f"({' '.join(said.split())[:200]}): plan for fewer ranks."
        ) from error
    slowest = {name: max(one[name] for one in found.values()) for name in found[0]}
    return Measured(**slowest)


def measure_alone(known: Planned, ranks: int) -> Measured:
    """Return what one process measures that does the part of one of so many ranks."""
    settings = known.settings
    own = replace(
        settings,
        batch_size=settings.batch_size // ranks,
        threads=threads_of(known, ranks),
        graph=False,  # as with several
    )
    return rehearse(own, known.data.points, settings.seconds)


def threads_of(known: Planned, ranks: int) -> int:
    """Return the threads of each of so many ranks, as `landmarks train gpus=` starts them."""
    if known.settings.threads != "auto":
        return known.settings.threads
    named = os.environ.get("OMP_NUM_THREADS", "")
    return int(named) if named.isdecimal() else max(1, count_cores() // ranks)


def settle_exchange(known: Planned, measured: dict[int, Measured], wanted: list[int]) -> Machine:
    """Return the machine with its bandwidth and latency, measured here where they are not given.

    Raises:
        UserError: if they are needed, and no two ranks can be started here.
    """
    machine = known.machine
    if max(wanted) == 1 or None not in (machine.bandwidth, machine.latency):
        return machine
    several = {ranks: found for ranks, found in measured.items() if ranks > 1}
    if not several and can_start(known, 2):
        two = replace(known, settings=replace(known.settings, batch_size=2))
        several = {2: measure(two, 2)}
    if not several:
        raise UserError(
            f"{max(wanted)} ranks cannot be measured here: say machine.bandwidth=GB/s and "
            f"machine.latency=MICROSECONDS between them, or name a machine, as in machine=h200."
        )
    ranks, found = min(several.items())
    sent = 2 * (ranks - 1) / ranks * known.gradient_bytes()
    return replace(
        machine,
        bandwidth=machine.bandwidth or sent / (GB * max(found.exchange, 1e-9)),
        latency=machine.latency
        if machine.latency is not None
        else found.message / (MICRO * math.log2(ranks)),
    )
