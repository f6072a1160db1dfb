"""`landmarks train`: settings -> a run folder with its best and last checkpoint."""

import json
import logging
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from landmarks.commands.build import build, describe_model
from landmarks.commands.initial_weights import open_origin, restore, settle_start
from landmarks.commands.inputs import draw_augmented, open_inputs
from landmarks.commands.length import compare_thawed, open_budget, settle_length
from landmarks.commands.model_pictures import draw_validation, has_heatmaps
from landmarks.commands.train_settings import TrainSettings
from landmarks.data.cache_folder import cache_root
from landmarks.files import replacing
from landmarks.interrupt import graceful_stop
from landmarks.models.warm_start import take_weights
from landmarks.runs.checkpoint import save_checkpoint
from landmarks.runs.find import FAILED, FINISHED, mark_failure
from landmarks.runs.log import RunLog
from landmarks.runs.quoting import say_setting
from landmarks.training.budget import say_duration
from landmarks.training.ema import Ema
from landmarks.training.engine import fit
from landmarks.training.memory_advice import (
    check_memory,
    explain_no_room,
    explain_shortage,
    name_savings,
)
from landmarks.training.precision import Precision, choose_device
from landmarks.training.progress import Display
from landmarks.training.state import Training
from landmarks.training.threads import use_threads

log = logging.getLogger(__name__)


def train(settings: TrainSettings) -> int:
    """Train a model; return the exit code."""
    started = time.monotonic()
    run = Path(settings.run_dir)
    runlog = RunLog(run, settings.tensorboard)
    is_data_there = Path(settings.data.get("root") or ".").is_dir()
    model, origin = settle_start(settings, is_data_there)
    torch.manual_seed(settings.seed)
    compiled = cache_root("compiled", settings.data.get("cache_dir"))
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(compiled))  # torch's own forgets it
    where = choose_device(settings.device)
    precision = Precision(settings.amp, where)

    inputs = open_inputs(settings, where)
    faces, named = inputs.faces, inputs.layout
    ranges = named.pick_ranges(settings.pictured_region)

    network = build(
        model,
        num_points=faces.num_points,
        size=settings.input_size,
        elementwise=build(settings.loss),
        mean_points=inputs.mean,
    )
    if settings.flip_test and inputs.flip is not None:
        network.flip = torch.from_numpy(inputs.flip)
    with explain_no_room(where, "the model", "stop what else is in it, or use a smaller model"):
        network = network.to(where, memory_format=torch.channels_last)
        if origin:  # before the averaged model is copied from it
            take_weights(network, open_origin(origin), settings.input_size, str(origin))
        training = Training(
            network,
            build(settings.optimizer, network),
            build(settings.scheduler),
            precision,
            Ema(network, settings.ema) if settings.ema else None,
            torch.compile(network) if settings.compile else None,
        )
    count = inputs.training.order.batch_size
    savings = name_savings(precision.name, model, settings.input_size)
    shapes = (count, 3, settings.input_size, settings.input_size), (count, faces.num_points, 2)
    needed = check_memory(
        training,
        *shapes,
        dtype=torch.uint8 if inputs.augment is None else torch.float32,
        accumulate=settings.accumulate,
        savings=savings,
    )
    before = restore(training, settings, inputs.training) if settings.resume else None
    threads = use_threads(settings.threads, where, before and before.get("threads"))
    settings = replace(settings, threads=threads)
    limits = {"epochs": settings.epochs, "max_time": settings.max_time}
    counts = [len(part.order.rows) for part in (inputs.training, inputs.validation)]
    cost = {"started": started, "thaw": compare_thawed(training, needed, *shapes)}
    budget = open_budget(training, counts, len(inputs.training), **limits, **cost)
    if before is not None:
        settle_length(training, budget, run, **limits, before=before)
        if training.history:  # the last session may have ended before it was written
            runlog.write(training.history)
    if inputs.augment is not None:
        shown = np.random.default_rng(settings.seed).permutation(inputs.training.order.rows)
        draw_augmented(run / "augmented.png", inputs.training.source, shown, inputs.augment)
    log.info(
        "%s: %d faces to train on, %d to validate on, %d points (layout %s).",
        *(faces.source, *counts, faces.num_points, named.name),
    )
    weights = (
        f"{settings.resume or settings.init}'s"
        if settings.resume or settings.init
        else model.get("weights", "none").replace("none", "random")
    )
    log.info(
        "%s from %s weights on %s, amp %s, %s. Run: %s",
        *(describe_model(model), weights, where, precision.name, inputs.reading, run),
    )

    def keep(is_best: bool, is_epoch: bool) -> None:
        content = {
            "config": settings.to_config(),
            "num_points": faces.num_points,
            "layout": named.to_dict(),
            "unlabelled": np.flatnonzero(~inputs.labelled).tolist(),
            "flip": None if inputs.flip is None else inputs.flip.tolist(),
            "metrics": training.history[-1] if training.history else {},
            "weights": training.judged.state_dict(),
        }
        for mark in (FINISHED, FAILED):  # of what it was before this start
            (run / mark).unlink(missing_ok=True)
        if is_best:
            save_checkpoint(run / "best.pt", content)
        save_checkpoint(run / "last.pt", {**content, "training": training.state_dict()})
        if is_epoch:
            runlog.write(training.history)
            draw_validation(training.judged, inputs, ranges, precision, runlog)
            if has_heatmaps(training.judged):
                runlog.warn_of_empty_maps(training.history[-1], training.progress)

    shortage = explain_shortage(
        training, needed, batch_size=count, accumulate=settings.accumulate, savings=savings
    )
    begun = time.monotonic()
    with graceful_stop() as stop, mark_failure(run), shortage:
        display = Display(settings.batch_size)
        try:
            complete = fit(
                *(training, inputs.training, inputs.validation),
                budget=budget,
                display=display,
                stop=stop,
                keep=keep,
                eyes=named.eyes,
                nme_name=named.nme_name,
                accumulate=settings.accumulate,
                clip=settings.clip,
                augment=inputs.augment,
            )
        finally:
            display.close()
    if not complete:
        log.warning(
            "Stopped in epoch %d, batch %d; saved %s. Go on with: landmarks train %s",
            *(training.epoch + 1, training.batch, run / "last.pt", say_setting("resume", run)),
        )
        return stop.exit_code
    (run / FAILED).unlink(missing_ok=True)
    with replacing(run / FINISHED) as part:
        part.write_text(json.dumps(training.history[-1] if training.history else {}))
    if budget.max_time is not None and budget.spent > budget.max_time:
        log.warning(
            "max_time=%s was exceeded by %s; %s of it went by before the first batch.",
            *(settings.max_time, say_duration(budget.spent - budget.max_time)),
            say_duration(begun - started),
        )
    log.info(
        "Done in %s. Best val MSE %.3f px². Best model, with curves.png and faces.png: %s",
        *(say_duration(time.monotonic() - started), training.best, run / "best.pt"),
    )
    return 0
