"""`batch_size=auto`: the largest batch that fits, and the learning rate that suits it."""

import logging
import math
from dataclasses import replace

import torch

from landmarks.commands.training_run.train_settings import TrainSettings
from landmarks.commands.training_run.training_inputs import Inputs
from landmarks.distributed import collectives, processes
from landmarks.errors import UserError
from landmarks.machine import free_memory
from landmarks.training.memory_estimate import Estimate
from landmarks.training.out_of_memory import MAX_SHARE, count_memory
from landmarks.training.training_state import Training

log = logging.getLogger(__name__)
REFERENCE = 32  # faces: the batch that the configs' learning rates are of
MIN_STEPS = 100  # batches an epoch that are left: larger ones cost accuracy


def begin_with_reference(settings: TrainSettings) -> TrainSettings:
    """Return the settings with a number of faces a batch, REFERENCE where they say "auto".

    Raises:
        UserError: if a run that is resumed is to choose anew.
    """
    if settings.batch_size != "auto":
        return settings
    if settings.resume:
        raise UserError(
            "batch_size=auto is chosen when a run begins, and a resumed run keeps its own: leave "
            "it out, or give a number."
        )
    return replace(settings, batch_size=REFERENCE)


def settle_batch_size(
    settings: TrainSettings, training: Training, inputs: Inputs
) -> tuple[TrainSettings, Inputs]:
    """Return settings and inputs with the batch size and the rates that "auto" stands for.

    Rates grow with the square root of the batch, those of SGD in proportion to it.

    Args:
        settings: with a batch_size of REFERENCE faces.
        training: not started; its rates are changed in place.
        inputs: of such batches.

    Source: Malladi et al., On the SDEs and Scaling Rules for Adaptive Gradient Algorithms, NeurIPS
    2022; Goyal et al., Accurate, Large Minibatch SGD, 2017.
    """
    device, faces = training.precision.device, len(inputs.training.rows)
    size = REFERENCE
    if device.type != "cpu":  # where a larger batch is no faster
        free, ranks = free_memory(device), processes.world()
        needed = count_memory(training, *inputs.shapes, refuse_uncounted)
        size = collectives.agree(largest_batch(needed, free, faces, ranks))
    factor = rate_factor(size, isinstance(training.optimizer, torch.optim.SGD))
    for group in training.optimizer.param_groups:
        group["initial_lr"] *= factor
    rate = settings.optimizer["lr"] * factor
    log.info(f"batch_size=auto: {size} faces a batch, optimizer.lr={rate:.3g}.")
    settings = replace(settings, batch_size=size, optimizer={**settings.optimizer, "lr": rate})
    inputs = inputs._replace(
        training=inputs.training.resized(size), validation=inputs.validation.resized(2 * size)
    )
    return settings, inputs


def rate_factor(size: int, is_sgd: bool) -> float:
    """Return how many times the rate of a batch of REFERENCE faces suits one of `size`."""
    ratio = size / REFERENCE
    return ratio if is_sgd else math.sqrt(ratio)


def keep_chosen(settings: TrainSettings, begun: dict) -> TrainSettings:
    """Return settings with what "auto" stood for when a run was begun.

    Args:
        begun: the settings in the run's checkpoint.
    """
    if settings.batch_size != "auto":
        return settings
    size, optimizer = begun["batch_size"], settings.optimizer
    rate = optimizer["lr"] * rate_factor(size, optimizer["_target_"].endswith(".sgd"))
    return replace(settings, batch_size=size, optimizer={**optimizer, "lr": rate})


def largest_batch(needed: Estimate, free: int, faces: int, ranks: int = 1) -> int:
    """Return the largest power of two, REFERENCE or more, that fits and leaves MIN_STEPS an epoch.

    Args:
        needed: by a step, whose model is on the device already.
        free: bytes on the device.
        faces: to train on.
        ranks: processes that share a batch.
    """
    size = REFERENCE
    room = MAX_SHARE * (free + needed.weights)
    while needed.total(2 * size // ranks) <= room and faces // (2 * size) >= MIN_STEPS:
        size *= 2
    return size


def refuse_uncounted(why: str) -> None:
    """Refuse batch_size=auto of a model whose memory cannot be counted."""
    raise UserError(
        f"batch_size=auto: the memory that this model needs cannot be counted ({why}): give a "
        f"number."
    )
