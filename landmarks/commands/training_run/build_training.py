"""The model of a run and its training, built from the settings and from what is read."""

import logging
from collections.abc import Callable
from pathlib import Path

import torch

from landmarks.commands.preparing.config_groups import build
from landmarks.commands.training_run.initial_weights import InitialWeights
from landmarks.commands.training_run.train_settings import TrainSettings
from landmarks.commands.training_run.training_inputs import Inputs
from landmarks.distributed import processes
from landmarks.errors import say_count
from landmarks.inference.rebuild_model import describe_model
from landmarks.models.landmarker import Landmarker
from landmarks.models.warm_start import take_weights
from landmarks.training.cuda_graphs import choose_graph
from landmarks.training.data_parallel import Replicas
from landmarks.training.out_of_memory import explain_out_of_memory
from landmarks.training.precision import Precision
from landmarks.training.training_state import Training
from landmarks.training.weight_averaging import Ema

log = logging.getLogger(__name__)


def build_model(settings: TrainSettings, initial: InitialWeights, inputs: Inputs) -> Landmarker:
    """Return the model with its published or random weights, on the CPU."""
    model = build(
        initial.model,
        num_points=inputs.faces.num_points,
        input_size=settings.input_size,
        elementwise=build(settings.loss),
        mean_points=inputs.mean,
    )
    if settings.flip_test and inputs.flip is not None:
        model.flip = torch.from_numpy(inputs.flip)
    return model


def build_training(
    settings: TrainSettings,
    initial: InitialWeights,
    inputs: Inputs,
    precision: Precision,
    model: Landmarker,
) -> Training:
    """Return a training that has taken no step, its model on the device.

    Args:
        model: of `build_model`.

    Raises:
        UserError: if there is no memory for the model, another run's weights do not fit it, or
            graph=true and its steps cannot be recorded.
    """
    device = precision.device
    with explain_out_of_memory(
        device, "the model", "stop what else is in it, or use a smaller model"
    ):
        model = model.to(device, memory_format=torch.channels_last)
        if initial.checkpoint:  # before the averaged model is copied from it
            names = inputs.layout.names
            take_weights(model, initial.checkpoint, settings.input_size, initial.source, names)
        return Training(
            model,
            build(settings.optimizer, model),
            build(settings.scheduler),
            precision,
            ema=Ema(model, settings.ema) if settings.ema else None,
            forward=_choose_forward(model, settings),
            augment=inputs.augment,
            graph=choose_graph(settings.graph, model.recordable, device),
            accumulate=settings.accumulate,
            clip=settings.clip,
        )


def _choose_forward(model: Landmarker, settings: TrainSettings) -> Callable | None:
    """Return what is called to train: the compiled model, or that of several processes."""
    if processes.world() > 1:
        return Replicas(model)
    return torch.compile(model) if settings.compile else None


def say_training(settings: TrainSettings, training: Training, inputs: Inputs) -> None:
    """Log what is trained, on which faces, and by what its errors are told."""
    faces, layout = inputs.faces, inputs.layout
    count, points = len(inputs.training.rows), say_count(faces.num_points, "point")
    log.info(
        f"{faces.source}: {say_count(count, 'face')} to train on, {len(inputs.validation.rows)} to "
        f"validate on, {points} (layout {layout.name}, NME normalised by {layout.nme_name})."
    )
    if settings.resume or settings.init:
        weights = f"{settings.resume or settings.init}'s"
    else:
        weights = settings.model.get("weights", "none").replace("none", "random")
    log.info(
        f"{describe_model(settings.model)} from {weights} weights on {training.precision.device}, "
        f"amp {training.precision.name}, {inputs.reading}. Run: {Path(settings.run_dir)}"
    )
    if processes.world() > 1:
        ranks, size = processes.world(), inputs.training.batch_size
        log.info(
            f"{ranks} processes train together, each on {size // ranks} of the {size} faces of a "
            "batch."
        )
