"""What is measured for a plan: by one process, and by several where they can be started here."""

import math
import os
from dataclasses import replace

import torch
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from landmarks.commands.planning.noise_training import rehearse, rehearse_rank
from landmarks.commands.planning.planned_training import Planned
from landmarks.commands.planning.step_times import Measured
from landmarks.distributed.local_launch import RANKS_A_CORE, run_ranks
from landmarks.errors import UserError
from landmarks.machine import count_cores, free_memory
from landmarks.training.scaling import GB, MICRO, Machine

CPU = torch.device("cpu")


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
