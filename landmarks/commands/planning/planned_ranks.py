"""The rows of a plan: a training by so many ranks, measured where they can be started here."""

import math
from dataclasses import replace

import torch

from landmarks.commands.planning.measure_training import (
    can_start,
    measure,
    measure_alone,
    settle_exchange,
    threads_of,
)
from landmarks.commands.planning.plan_figures import Figure, Known, RanksPlan
from landmarks.commands.planning.planned_training import Planned, face_bytes
from landmarks.commands.planning.step_times import Measured
from landmarks.data.batches.loader import choose_workers
from landmarks.machine import count_cores, free_memory
from landmarks.training.scaling_model import (
    GB,
    GIB,
    Machine,
    StepParts,
    count_busy,
    exchange_seconds,
    share_cores,
)

CPU = torch.device("cpu")


def plan_ranks(
    known: Planned, wanted: list[int], epochs: float, most: float, several: int
) -> list[RanksPlan]:
    """Return a row for each number of ranks.

    Args:
        epochs: of a run, at most.
        most: seconds of a run.
        several: runs.

    Raises:
        UserError: if ranks fail here, or what lies between those that are not here is not known.
    """
    machine, measured, alone = known.machine, {}, {}
    if machine.rate is None:
        measured = {ranks: measure(known, ranks) for ranks in wanted if can_start(known, ranks)}
        machine = settle_exchange(known, measured, wanted)
        alone = {ranks: measure_alone(known, ranks) for ranks in wanted if ranks > 1}
    rows = []
    for ranks in wanted:
        parts = model_step(known, machine, ranks, alone.get(ranks))
        modelled, how = parts, "modelled"
        if ranks in measured:
            parts, how = split_step(known, ranks, measured[ranks]), "measured"
        looked = measured.get(ranks) or alone.get(ranks)
        validation = validation_seconds(known, machine, ranks, looked, ranks not in measured)
        steps = max(1, known.data.seen // known.settings.batch_size)
        row = _row(known, ranks, parts, how, None if modelled is None else modelled.total())
        epoch = steps * parts.total() + validation
        run = several * min(epochs * epoch, most)
        price, first = known.settings.price, rows[0] if rows else row
        gain = row.speed.value / first.speed.value * first.ranks / ranks
        rows.append(
            replace(
                row,
                efficiency=Figure(gain, "", how),
                validation=Figure(validation, "s", how),
                epoch=Figure(epoch, "s", "modelled"),
                run=Figure(run, "s", "modelled"),
                cost=None if price is None else Figure(price * ranks * run / 3600, "", "modelled"),
            )
        )
    return rows


def _row(
    known: Planned, ranks: int, parts: StepParts, how: Known, modelled: float | None
) -> RanksPlan:
    """Return what does not depend on the length of the run; the rest is unknown."""
    each, nothing = known.settings.batch_size // ranks, Figure(None, "s", "modelled")
    memory = None if known.needed is None else known.needed.total(each)
    step = parts.total()
    return RanksPlan(
        ranks,
        each,
        Figure(memory, "bytes", "counted"),
        None if memory is None or known.free is None else memory <= known.free,
        Figure(step, "s", how),
        Figure(modelled, "s", "modelled"),
        Figure(parts.compute, "s", how),
        Figure(parts.exchange, "s", how),
        Figure(parts.images, "s", "modelled"),
        Figure(parts.disk, "s", "modelled"),
        parts.bottleneck(),
        Figure(known.settings.batch_size / step, "", how),
        *[nothing] * 4,
        None,
    )


def model_step(
    known: Planned, machine: Machine, ranks: int, alone: Measured | None
) -> StepParts | None:
    """Return a step by docs/scale.md's model; None of one rank here, which is its beginning.

    Args:
        machine: of `settle_exchange`.
        alone: of `measure_alone`; None: the machine's rate says how long computing takes.
    """
    settings, each = known.settings, known.settings.batch_size // ranks
    gather = known.gather if alone is None else alone.gather
    images, ahead = image_seconds(known, ranks, gather)
    if machine.rate is not None:
        compute = machine.compute_seconds(
            each * known.flops, known.tensors, known.is_recorded and ranks == 1
        )
    elif alone is None:
        return None
    else:
        compute = alone.step - (0.0 if ahead else each * gather)
        compute *= _slowdown(known, ranks, alone)
    size = known.gradient_bytes() / settings.accumulate
    exchange = exchange_seconds(machine, ranks, size, known.messages())
    return StepParts(compute, exchange, each * images, _disk(known, ranks), ahead)


def split_step(known: Planned, ranks: int, found: Measured) -> StepParts:
    """Return the parts of a measured step; its images were in memory."""
    each = known.settings.batch_size // ranks
    gathered, ahead = image_seconds(known, ranks, found.gather)
    own = 0.0 if ahead else each * found.gather
    exchange = found.exchange / known.settings.accumulate + known.messages() * found.message
    exchange = min(exchange, found.step - own)
    compute = found.step - own - exchange
    return StepParts(compute, exchange, each * gathered, _disk(known, ranks), ahead)


def image_seconds(known: Planned, ranks: int, gather: float) -> tuple[float, bool]:
    """Return seconds a face until it is in a batch, and whether that goes on beside computing.

    Args:
        gather: seconds a face from the cache.
    """
    local = ranks / known.machine.count(ranks)
    kind = "cuda" if known.on_gpu else "cpu"
    workers = choose_workers(known.settings.workers, kind, known.cores / local)
    source = known.source()
    if source == "device":
        return 0.0, True
    if source == "photos":
        readers = max(1, workers)
        share = share_cores(local * readers, known.cores)
        return known.data.reading / (readers * share), workers > 0
    return gather, workers > 0


def _disk(known: Planned, ranks: int) -> float:
    """Return the seconds in which a machine's disk gives what its memory does not hold."""
    each, machine, source = known.settings.batch_size // ranks, known.machine, known.source()
    if source in ("device", "ram"):
        return 0.0
    face = known.data.photo_bytes if source == "photos" else face_bytes(known.settings)
    held = GIB * machine.ram if machine.ram is not None else free_memory(CPU)
    whole = face * known.data.faces
    missed = 0.0 if held is None else max(0.0, 1 - held / whole) if whole else 0.0
    return missed * face * each * ranks / machine.count(ranks) / (GB * machine.disk)


def validation_seconds(
    known: Planned, machine: Machine, ranks: int, found: Measured | None, is_alone: bool
) -> float:
    """Return the seconds of an epoch's validation.

    Args:
        found: how long a face takes; None: the machine's rate says it.
        is_alone: it was measured by one process.
    """
    count = math.ceil(known.data.validation / ranks)
    if machine.rate is not None:
        batches = math.ceil(known.data.validation / (2 * known.settings.batch_size))
        looks = 1 if known.training.model.flip is None else 2
        flops = count * looks * known.flops
        seconds = machine.predict_seconds(flops, known.tensors, batches, known.is_recorded)
    else:
        seconds = count * found.predict * (_slowdown(known, ranks, found) if is_alone else 1.0)
    images, ahead = image_seconds(known, ranks, 0.0)  # from the cache it is measured with the rest
    return StepParts(seconds, 0.0, count * images, 0.0, ahead).total()


def _slowdown(known: Planned, ranks: int, alone: Measured) -> float:
    """Return how many times as long ranks on the CPU compute as one that was alone.

    It was alone beside what else kept the cores busy, which goes on.
    """
    if known.on_gpu:
        return 1.0
    threads, local = threads_of(known, ranks), math.ceil(ranks / known.machine.count(ranks))
    busy = count_busy(alone.share, threads, count_cores())
    return alone.share / share_cores(local * threads, known.cores, busy)
