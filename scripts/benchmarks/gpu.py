"""Steps on a CUDA GPU, eager and recorded, against the least that they compute; the loop around
them, the data that reach them, and predictions with a heatmap a point against the plain way."""

import argparse
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import numpy as np
import torch

from benchmarks.floor import Floor, repeat
from benchmarks.loader import light
from benchmarks.places import open_places
from benchmarks.recorded import TINY, Scale, batch_on, build_model, release, start_training, warm_up
from benchmarks.step import Ours, Plain, heatmap_models
from benchmarks.train import EMA, EngineLoop, TimedBatches, random_batch
from benchmarks.turns import add_rounds, median_ratio, take_told_turns, take_turns
from benchmarks.writeup import WholeMaps
from landmarks.augment.augmentation import Augment
from landmarks.data.batches.cropped_faces import Batch
from landmarks.devices import synchronize
from landmarks.errors import UserError
from landmarks.machine import say_bytes
from landmarks.training.precision import Precision
from landmarks.training.training_state import Training

PARTS = ("step", "floor", "loop", "predict", "loader")
MODELS = ("resnet34", "resnet18", "unet_resnet34")
FIRST = MODELS[0]  # the one that the JSON speaks of, at the first of the batch sizes
FIGURES = (
    "capture_speedup_32",
    "floor_ratio_32",
    "loop_share",
    "unet_step_speedup",
    "predict_unet",
    "predict_unet_resnet34",
    "images_per_s",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    parser.add_argument("--fake", action="store_true", help="try all of it, tiny, on the CPU")
    for name, choices in (("parts", PARTS), ("models", MODELS)):
        parser.add_argument(
            f"--{name}",
            type=partial(_choose, choices),
            default=choices,
            help=f"some of {','.join(choices)}, in the order wanted (default: all)",
        )
    add_rounds(parser)


def _choose(choices: tuple[str, ...], text: str) -> tuple[str, ...]:
    words = tuple(text.split(","))
    if not set(words) <= set(choices):
        raise argparse.ArgumentTypeError(f"{text}: the choices are {', '.join(choices)}.")
    return words


def measure(options: argparse.Namespace) -> dict:
    """Return the figures, None where they were not measured.

    capture_speedup_32 and floor_ratio_32 are of resnet34 in batches of 32: an eager step over a
    recorded one, a recorded one over its floor. loop_share is what `fit` adds to bare recorded
    steps. unet_step_speedup, predict_unet and predict_unet_resnet34 are against plain PyTorch.
    images_per_s is resnet34's in the largest batches.
    """
    if not options.fake and not torch.cuda.is_available():
        raise UserError("No CUDA GPU is here; --fake tries all of it, tiny, on the CPU.")
    device = torch.device("cpu" if options.fake else "cuda")
    scale = TINY if options.fake else Scale()
    precision = Precision("auto", device)
    name = f"the CPU, {scale.backbone} for all" if options.fake else torch.cuda.get_device_name()
    print(
        f"On {name}: {scale.size} pixels, {scale.points} points, amp {precision.name}, "
        f"channels_last, augment=light, adamw, ema={EMA}; batches lie on the device:"
    )
    found = dict.fromkeys(FIGURES)
    functions = {"floor": _steps, "step": _steps, "loop": _loop, "predict": _predict}
    functions["loader"] = _loader
    for function in dict.fromkeys(functions[part] for part in options.parts):
        started = time.perf_counter()
        found |= function(options, scale, precision)
        print(f"  ({time.perf_counter() - started:.1f} s)", flush=True)
        release(device)
    return found


def _steps(options: argparse.Namespace, scale: Scale, precision: Precision) -> dict:
    found: dict = {}
    ratios = {"capture_speedup_32": ("eager", "recorded"), "floor_ratio_32": ("recorded", "floor")}
    for name in options.models:
        for count in scale.batches:
            seconds = _time_steps(name, count, options, scale, precision)
            if name == FIRST and count == scale.batches[0]:
                for figure, (above, below) in ratios.items():
                    if above in seconds and below in seconds:
                        found[figure] = round(median_ratio(seconds[above], seconds[below]), 2)
            if name == FIRST and count == scale.batches[-1]:
                found["images_per_s"] = round(count / median(seconds["recorded"]), 1)
    return found


def _time_steps(
    name: str, count: int, options: argparse.Namespace, scale: Scale, precision: Precision
) -> dict[str, list[float]]:
    """Time steps of one model and batch size, print them, and return seconds a step."""
    device = precision.device
    batch, steps = batch_on(device, count, scale), max(1, scale.images // count)
    wait = partial(synchronize, device)
    mirror = np.arange(scale.points)[::-1].copy()
    ways, memory = {}, {}
    for way in ("eager", "recorded") if "step" in options.parts else ("recorded",):
        release(device)
        before = torch.cuda.memory_reserved() if device.type == "cuda" else 0
        augment = Augment(**light(), input_size=scale.size, permutation=mirror)
        model = build_model(name, scale)
        training = start_training(model, precision, way == "recorded", augment)
        ways[way] = repeat(warm_up(training, batch), steps, wait)
        after = torch.cuda.memory_reserved() if device.type == "cuda" else 0
        memory[way] = after - before
    floor = None
    if "floor" in options.parts:
        floor = Floor(model, batch.images)
        ways["floor"] = repeat(floor, steps, wait)
    take_turns(ways, 1)
    seconds = {
        way: [spent / steps for spent in turns]
        for way, turns in take_turns(ways, options.rounds).items()
    }
    said = [
        f"{way} {1e3 * median(spent):.3g} ms, {count / median(spent):.5g} images/s"
        + (f", {say_bytes(memory[way])}" if memory.get(way) else "")
        for way, spent in seconds.items()
    ]
    if floor is not None:
        rate = floor.flops / median(seconds["floor"]) / 1e12
        said[-1] += f", {floor.flops / count / 1e9:.3g} GFLOP an image at {rate:.3g} TFLOP/s"
    print(f"  {name}, {count} faces: {'; '.join(said)}", flush=True)
    return seconds


class Replays:
    """Recorded steps with nothing around them: no averaged model, no batch, no host."""

    def __init__(self, training: Training, batch: Batch, count: int):
        warm_up(training, batch)
        self.steps, self.count, self.device = training.steps, count, training.precision.device

    def __call__(self) -> float:
        """Replay the steps and return the seconds."""
        synchronize(self.device)
        started = time.perf_counter()
        for _ in range(self.count):
            self.steps.replay_gradient()
            self.steps.replay_update()
        synchronize(self.device)
        return time.perf_counter() - started


def _loop(options: argparse.Namespace, scale: Scale, precision: Precision) -> dict:
    count, rounds = scale.batches[0], options.rounds
    some = [batch_on(precision.device, count, scale, seed) for seed in range(8)]
    batches = TimedBatches([some[i % len(some)] for i in range(scale.loop_steps)])
    model = partial(build_model, FIRST, scale)
    loops = {"fit": True, "fit, no average": False}
    ways: dict[str, Callable] = {
        name: EngineLoop(
            start_training(model(), precision, True, ema=ema),
            batches,
            some[0],
            turns=rounds + 1,
        )
        for name, ema in loops.items()
    }
    bare = start_training(model(), precision, True, ema=False)
    ways["bare"] = Replays(bare, some[0], scale.loop_steps)
    seconds = take_told_turns(ways, rounds)
    per_step = {name: 1e3 * median(spent) / scale.loop_steps for name, spent in seconds.items()}
    said = ", ".join(f"{name} {spent:.4g} ms" for name, spent in per_step.items())
    print(f"  loop, {FIRST}, {count} faces, a step: {said}", flush=True)
    return {"loop_share": round(1 - median_ratio(seconds["bare"], seconds["fit"]), 4)}


def _loader(options: argparse.Namespace, scale: Scale, precision: Precision) -> dict:
    size = scale.loaded
    wanted = scale.faces, scale.size, scale.points, size, precision.device
    with open_places(*wanted) as places:
        training = start_training(build_model(FIRST, scale), precision, True)
        example = batch_on(precision.device, size, scale)
        ways = {
            name: EngineLoop(training, batches, example, len(places) * (options.rounds + 1))
            for name, batches in places.items()
        }
        seconds = take_told_turns(ways, options.rounds)
    said = [
        f"{name} {scale.faces / median(spent):.5g} images/s"
        + ("" if name == "ready" else f" (share {1 - median_ratio(seconds['ready'], spent):.1%})")
        for name, spent in seconds.items()
    ]
    print(f"  data, {FIRST}, {scale.faces} faces in batches of {size}: {', '.join(said)}")
    return {}


def _predict(options: argparse.Namespace, scale: Scale, precision: Precision) -> dict:
    """Time what `benchmark.py step` times, with the package's steps recorded."""
    device, found = precision.device, {}
    plain_model = WholeMaps(scale.points).to(device)
    for kind, count in (("predict", scale.predicted), ("step", scale.trained)):
        batch = random_batch(count, 0, scale.size, scale.points)
        ways: dict[str, Callable] = {}
        for name, model in heatmap_models(scale.points, scale.size).items():
            if kind == "predict":
                model = model.to(device, memory_format=torch.channels_last)
                ways[name] = Ours(model, batch.images, batch.points, precision).predict
            else:
                training = start_training(model, precision, True, ema=False)
                step = warm_up(training, batch)
                ways[name] = repeat(step, 1, partial(synchronize, device))
        plain = Plain(plain_model, batch.images, batch.points.numpy(), device)
        ways["plain"] = plain.predict if kind == "predict" else plain
        take_turns(ways, 1)
        seconds = take_turns(ways, options.rounds)
        said = ", ".join(f"{name} {1e3 * median(s):.4g} ms" for name, s in seconds.items())
        ratios = {
            name: round(median_ratio(seconds["plain"], spent), 2)
            for name, spent in seconds.items()
            if name != "plain"
        }
        print(f"  {kind}, {count} faces, {scale.points} maps: {said}; {ratios}", flush=True)
        if kind == "predict":
            found |= {f"predict_{name}": ratio for name, ratio in ratios.items()}
        else:
            found["unet_step_speedup"] = ratios["unet"]
        release(device)
    return found
