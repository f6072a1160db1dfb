"""`landmarks train`: settings -> a run folder with its best and last checkpoint."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from landmarks.commands.judging.report_judgement import report_run
from landmarks.commands.preparing.config_groups import build
from landmarks.commands.training_run.auto_batch_size import begin_with_reference, settle_batch_size
from landmarks.commands.training_run.build_training import build_model, build_training, say_training
from landmarks.commands.training_run.device_cache import (
    keep_on_device,
    name_cache_savings,
    refuse_device_cache,
)
from landmarks.commands.training_run.initial_weights import restore, settle_initial_weights
from landmarks.commands.training_run.kfold import train_folds
from landmarks.commands.training_run.run_folder import RunFolder
from landmarks.commands.training_run.train_settings import TrainSettings
from landmarks.commands.training_run.training_inputs import Inputs, open_inputs, refuse_other_faces
from landmarks.commands.training_run.training_length import open_budget, settle_length
from landmarks.data.batches.loader import refuse_uneven
from landmarks.data.caches.cache_folder import cache_root
from landmarks.distributed.collectives import exchanging, joined
from landmarks.distributed.processes import draw_apart, is_main, world
from landmarks.distributed.rank_messages import Lost, first_of_node
from landmarks.interrupt import Stop, graceful_stop
from landmarks.runs.find_runs import mark_failure
from landmarks.runs.loggers import RunFiles, Trackers
from landmarks.runs.quoting import say_setting
from landmarks.training.cpu_threads import use_threads
from landmarks.training.cuda_graphs import choose_graph
from landmarks.training.out_of_memory import check_memory, explain_training_memory, name_savings
from landmarks.training.precision import Precision, choose_device
from landmarks.training.predict_batch import choose_forward
from landmarks.training.progress import Display
from landmarks.training.time_budget import Budget, say_duration
from landmarks.training.training_loop import fit
from landmarks.training.training_state import Training
from landmarks.training.validation import validate

log = logging.getLogger(__name__)


def train(settings: TrainSettings) -> int:
    """Train a model, or those of a k-fold; return the exit code."""
    if settings.batch_size != "auto":
        refuse_uneven(settings.batch_size)  # before data are read, which may take long
    return train_one(settings) if settings.kfold is None else train_folds(settings, train_one)


def train_one(settings: TrainSettings) -> int:
    """Train a model; return the exit code.

    Where several processes train it, all come here. The first of each machine reads the data before
    the others do; the first of all writes the run's files.
    """
    with closing(_open_trackers(settings)) as trackers:
        return _train(settings, trackers)


def _open_trackers(settings: TrainSettings) -> Trackers:
    """Return who is told of the run beside its folder; none by processes that write no files."""
    run, nodes = Path(settings.run_dir), settings.logger if is_main() else {}
    loggers = {name: build(node, run) for name, node in nodes.items()}
    beside = {name: one for name, one in loggers.items() if not isinstance(one, RunFiles)}
    return Trackers(run, beside)


def _train(settings: TrainSettings, trackers: Trackers) -> int:
    """See `train_one`."""
    started = time.monotonic()
    with first_of_node("what the first process of this machine reads"):
        initial = settle_initial_weights(settings)
        precision = _prepare(settings)
        batch_size, settings = settings.batch_size, begin_with_reference(settings)
        inputs = open_inputs(settings, precision.device)
        model = build_model(settings, initial, inputs)

    with joined(precision.device):
        refuse_other_faces(inputs)
        training = build_training(settings, initial, inputs, precision, model)
        if batch_size == "auto":
            settings, inputs = settle_batch_size(settings, training, inputs)
        savings = name_savings(precision.name, initial.model, settings.input_size)
        needed = check_memory(training, *inputs.shapes, savings)
        inputs = keep_on_device(inputs, precision.device, needed)
        savings = [*name_cache_savings(inputs), *savings]

        before = restore(training, settings, inputs.training) if settings.resume else None
        draw_apart(settings.seed + training.step)
        had = before["threads"] if before else "auto"
        threads = use_threads(settings.threads, precision.device, had)
        settings = replace(settings, threads=threads, gpus=world())
        budget = open_budget(settings, training, inputs, needed, started)
        if before is not None:
            settle_length(settings, training, budget, before)
        folder = RunFolder(settings, training, inputs, trackers)
        folder.begin()
        say_training(settings, training, inputs)

        begun = time.monotonic()
        explained = explain_training_memory(training, needed, inputs.training.batch_size, savings)
        with graceful_stop() as stop, mark_failure(folder.path), explained, _told_lost(folder.path):
            complete = _fit(settings, training, inputs, budget, stop, folder)
    if complete and settings.report:  # before the mark: a run killed meanwhile is taken up again
        report_run(folder.path, settings, precision.device.type)
    if not is_main():
        return stop.exit_code if not complete else 0
    if not complete:
        _say_stopped(training, folder.path)
        folder.stop()
        return stop.exit_code
    folder.finish()
    _say_done(settings, training, budget, started, begun)
    return 0


def _fit(
    settings: TrainSettings,
    training: Training,
    inputs: Inputs,
    budget: Budget,
    stop: Stop,
    folder: RunFolder,
) -> bool:
    """Train; return whether it came to its end."""
    judge = partial(
        validate,
        batches=inputs.validation,
        precision=training.precision,
        eyes=inputs.layout.eyes,
        scored_to=inputs.faces.scored_to,
        forward=choose_forward(training.graph, training.judged, training.precision),
    )
    with closing(Display(settings.batch_size)) as display:
        return fit(
            training,
            inputs.training,
            judge,
            budget=budget,
            display=display,
            stop=stop,
            keep=folder.keep,
        )


@contextmanager
def _told_lost(run: Path) -> Iterator[None]:
    """Say how to go on where another process of the training ends in this context."""
    try:
        with exchanging():
            yield
    except Lost as error:
        if not (run / "last.pt").is_file():
            raise
        way = f"Go on with: landmarks train {say_setting('resume', run)}"
        raise Lost(f"{error} {way}") from error


def _prepare(settings: TrainSettings) -> Precision:
    """Seed what draws numbers, say where compiled code is kept, and choose the device."""
    torch.manual_seed(settings.seed)
    compiled = cache_root("compiled", settings.data.get("cache_dir"))
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(compiled))  # torch's own forgets it
    device = choose_device(settings.device)
    refuse_device_cache(settings.data.get("cache", "auto"), device)
    choose_graph(settings.graph, True, device)  # asked for in vain: said before the data are read
    return Precision(settings.amp, device)


def _say_stopped(training: Training, run: Path) -> None:
    log.warning(
        f"Stopped in epoch {training.epoch + 1}, batch {training.batch}; saved {run / 'last.pt'}. "
        f"Go on with: landmarks train {say_setting('resume', run)}"
    )


def _say_done(
    settings: TrainSettings, training: Training, budget: Budget, started: float, begun: float
) -> None:
    """Log how good the model is, and how long it took.

    Args:
        started, begun: time.monotonic() at the command's start, and before the first batch.
    """
    if budget.max_time is not None and budget.spent > budget.max_time:
        log.warning(
            f"max_time={settings.max_time} was exceeded by "
            f"{say_duration(budget.spent - budget.max_time)}; {say_duration(begun - started)} of "
            f"it went by before the first batch."
        )
    log.info(
        f"Done in {say_duration(time.monotonic() - started)}. Best val MSE {training.best:.3f} "
        f"px². Best model, with curves.png and faces.png: {Path(settings.run_dir) / 'best.pt'}"
    )
