"""Train on batches in memory: the package's loop, and the model's own steps with nothing around."""

import argparse
import time
from functools import partial
from statistics import median

import torch
from torch import nn

from benchmarks.model import (
    BACKBONE,
    NUM_POINTS,
    SIZE,
    add_device_options,
    prepare_device,
    random_model,
)
from benchmarks.turns import add_rounds, median_ratio, say_seconds, take_told_turns
from landmarks.data.batches.cropped_faces import Batch
from landmarks.devices import move
from landmarks.interrupt import Stop
from landmarks.training.optimizers import adamw
from landmarks.training.precision import Precision
from landmarks.training.progress import Display
from landmarks.training.schedules import Cosine
from landmarks.training.time_budget import Budget
from landmarks.training.training_loop import fit
from landmarks.training.training_state import Training
from landmarks.training.validation import validate
from landmarks.training.weight_averaging import Ema

EMA = 0.99  # configs/train.yaml's


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    add_device_options(parser)
    parser.add_argument("--batches", type=int, help="a turn (default: 2 on the CPU, else 100)")
    parser.add_argument("--batch-size", type=int, default=32, help="default: %(default)s")
    add_rounds(parser, 7)


class TimedBatches:
    """Batches in memory, in place of a loader; notes when `fit` begins an epoch's training."""

    def __init__(self, batches: list[Batch]):
        self.batches = batches
        self.batch_size = len(batches[0].images)
        self.asked = 0.0

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self):
        return iter(self.batches)

    def start_at(self, epoch: int, batch: int) -> None:
        """Note the time: this is the first thing an epoch does."""
        self.asked = time.perf_counter()


class TimedValidation:
    """One small batch to validate on; notes when `fit` has trained and begins to validate."""

    def __init__(self, batch: Batch):
        self.batch = Batch(*(values[:1] for values in batch))
        self.asked = 0.0

    def __iter__(self):
        self.asked = time.perf_counter()
        return iter([self.batch])


class EngineLoop:
    """`landmarks.training.training_loop.fit`, an epoch a turn.

    Args:
        batches: notes in `asked` when an epoch begins, as `TimedBatches` does.
        example: of the batches; one of its faces is validated on.
    """

    def __init__(self, training: Training, batches, example: Batch, turns: int):
        self.training, self.batches = training, batches
        self.validation, precision = TimedValidation(example), training.precision
        self.budget = Budget(turns, None, len(batches), 0.0, time.monotonic())
        self.judge = partial(validate, batches=self.validation, precision=precision, eyes=None)
        self.display = Display(batches.batch_size)

    def __call__(self) -> float:
        """Train an epoch and return the seconds up to its validation."""
        self.training.total_steps = self.training.step + len(self.batches)
        fit(
            self.training,
            self.batches,
            self.judge,
            budget=self.budget,
            display=self.display,
            stop=Stop(),
            keep=lambda is_best, is_epoch: None,
        )
        return self.validation.asked - self.batches.asked


class BareLoop:
    """The model, its loss, the backward pass and the optimiser: what a step cannot do without."""

    def __init__(self, batches: list[Batch], precision: Precision):
        self.model = to_device(random_model(), precision.device)
        self.optimizer = adamw(self.model, lr=1e-3)
        self.batches, self.precision = batches, precision

    def __call__(self) -> float:
        """Train on every batch once and return the seconds."""
        device, scaler = self.precision.device, self.precision.scaler
        self.model.train()
        started = time.perf_counter()
        for batch in self.batches:
            images = move(batch.images, device)
            points = move(batch.points, device)
            with self.precision.autocast():
                loss = self.model(images, points)
            scaler.scale(loss).backward()
            scaler.step(self.optimizer)
            scaler.update()
            self.optimizer.zero_grad()
        float(loss.detach())  # waits for the device
        return time.perf_counter() - started


def measure(options: argparse.Namespace) -> dict:
    """Return {"loop_share", "images_per_s"}."""
    precision = Precision("auto", prepare_device(options))
    count = options.batches or (2 if precision.device.type == "cpu" else 100)
    batches = [random_batch(options.batch_size, seed) for seed in range(count)]
    model = to_device(random_model(), precision.device)
    training = Training(model, adamw(model, lr=1e-3), Cosine(), precision, Ema(model, EMA))
    ways = {
        "ours": EngineLoop(training, TimedBatches(batches), batches[0], options.rounds + 1),
        "bare": BareLoop(batches, precision),
    }
    seconds = take_told_turns(ways, options.rounds)
    print(
        f"{BACKBONE} at {SIZE} pixels, {NUM_POINTS} points, {count} batches of "
        f"{options.batch_size} on {precision.device} (threads: {torch.get_num_threads()}), "
        f"amp {precision.name}, channels_last:"
    )
    say_seconds(f"engine.fit; its averaged model, ema={EMA}, is the loop's cost", seconds["ours"])
    say_seconds("forward, loss, backward, optimizer.step, zero_grad alone", seconds["bare"])
    return {
        "loop_share": round(1 - median_ratio(seconds["bare"], seconds["ours"]), 4),
        "images_per_s": round(count * options.batch_size / median(seconds["ours"]), 1),
    }


def to_device(model: nn.Module, device: torch.device) -> nn.Module:
    """Move a model as `landmarks train` does."""
    return model.to(device, memory_format=torch.channels_last)


def random_batch(count: int, seed: int, size: int = SIZE, points: int = NUM_POINTS) -> Batch:
    """Return a batch as the loader makes them, of random pixels and points."""
    random = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, size, size, 3), generator=random, dtype=torch.uint8)
    return Batch(
        pixels.permute(0, 3, 1, 2),
        size * torch.rand(count, points, 2, generator=random),
        torch.eye(2, 3).repeat(count, 1, 1),
        torch.arange(count),
        torch.ones(count, dtype=torch.bool),
    )
