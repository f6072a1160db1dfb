"""How long the parts of a training's step take on this machine now."""

import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from landmarks.commands.training_run.train_settings import TrainSettings
from landmarks.commands.training_run.training_inputs import Inputs
from landmarks.data.batches.loader import Batches
from landmarks.devices import ahead_on_device, synchronize
from landmarks.distributed import collectives
from landmarks.training.predict_batch import choose_forward
from landmarks.training.training_state import Training
from landmarks.training.validation import predict

THAWED = 10**6  # epochs done: first ones in which a backbone is frozen are past
STEPS = 10**9  # of a training that hardly begins
BUCKET = 25 * 2**20  # bytes that DistributedDataParallel sends at once
MESSAGES = 20  # small ones, that are timed together


@dataclass(frozen=True)
class Measured:
    """What a rank has measured, in seconds.

    Args:
        step: of a batch, from images in memory to new weights, exchanges included.
        predict: of a face in validation.
        gather: of a core, for a face of a batch from a canvas in memory.
        share: no seconds, but the share of them in which each thread had a core; 1 on a GPU.
        exchange: of averaging tensors of the gradients' size over the ranks; 0 of one.
        message: of adding up one number over the ranks; 0 of one.
    """

    step: float
    predict: float
    gather: float
    share: float = 1.0
    exchange: float = 0.0
    message: float = 0.0


def time_steps(training: Training, batches: Batches, seconds: float) -> tuple[float, float]:
    """Return the seconds of a batch, and on how many cores this process ran on the mean.

    Two updates at least are measured, after those that tune and record.

    Args:
        training: takes these steps.
        seconds: for which they are measured.
    """
    device, group = training.precision.device, training.accumulate
    warm_up = training.steps.warm_up if device.type == "cuda" else group
    training.model.train()
    training.plan(STEPS)
    training.epoch = THAWED
    source = ahead_on_device(_endless(batches), device)

    def take(count: int) -> float:
        started = time.perf_counter()
        for number, batch in enumerate(itertools.islice(source, count), 1):
            training.backward(batch, number % group == 0)
            if number % group == 0:
                training.update()
        synchronize(device)
        return time.perf_counter() - started

    take(-(-warm_up // group) * group)
    begun = time.perf_counter(), time.process_time()
    first = take(group)
    more = collectives.agree(max(1, math.ceil((seconds - first) / first)))
    take(more * group)
    wall, worked = time.perf_counter() - begun[0], time.process_time() - begun[1]
    return wall / (group + more * group), worked / wall


def _endless(batches: Batches) -> Iterator:
    for epoch in itertools.count():
        batches.start_at(epoch)
        yield from batches


def time_prediction(
    settings: TrainSettings, training: Training, inputs: Inputs, seconds: float
) -> float:
    """Return the seconds that predicting a face takes in validation."""
    forward = choose_forward(settings.graph, training.judged, training.precision)
    device = training.precision.device

    def look() -> int:
        found = predict(training.judged, inputs.validation, training.precision, forward)
        count = sum(len(batch.rows) for batch, _, _ in found)
        synchronize(device)
        return count

    for _ in range(3 if device.type == "cuda" else 1):
        look()
    return _time(look, seconds)


def time_gather(inputs: Inputs) -> float:
    """Return the seconds of a core that gathering a face of a training batch takes."""
    source, order = inputs.training.source, inputs.training.order
    rows = order.own_rows()[0].tolist()

    def gather() -> int:
        source.__getitems__(rows)
        return len(rows)

    gather()
    return _time(gather, 0.1, time.process_time)


def time_exchange(size: int, device: torch.device, seconds: float) -> tuple[float, float]:
    """Return the seconds of averaging so many float32 numbers over the ranks, and of a message."""
    step = BUCKET // 4
    buckets = [torch.zeros(min(step, size - i), device=device) for i in range(0, size, step)]
    one = torch.zeros(1, device=device)

    def average() -> float:
        started = time.perf_counter()
        collectives.average(buckets)
        synchronize(device)
        return time.perf_counter() - started

    average()
    count = collectives.agree(max(2, min(50, math.ceil(seconds / average()))))
    exchange = sum(average() for _ in range(count)) / count
    started = time.perf_counter()
    for _ in range(MESSAGES):
        collectives.reduce(one)
    synchronize(device)
    return exchange, (time.perf_counter() - started) / MESSAGES


def _time(
    work: Callable[[], int], seconds: float, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return seconds a piece of what `work` returns the number of, done for about so long."""
    done, started = 0, clock()
    while (spent := clock() - started) < seconds or not done:
        done += work()
    return spent / done
