"""Starts processes of this machine that find one another by themselves."""

import logging
import os
import uuid
from collections.abc import Callable
from typing import Any, Literal

from landmarks.distributed.processes import quiet_torch
from landmarks.errors import UserError, say_count
from landmarks.interrupt import Interrupted
from landmarks.machine import count_cores

RANKS_A_CORE = 2  # at most on a CPU: more do little but wait for one another
END_SECONDS = 25  # in which the others must have ended when one has, before they are killed


def count_ranks(gpus: int | Literal["auto"], device: str | None) -> int:
    """Return how many processes of this machine `gpus=` asks for.

    Args:
        device: that the settings name; None: that of the run that goes on, whatever it is.

    Raises:
        UserError: if there are not so many GPUs, or cores.
    """
    if gpus == 1:
        return 1
    if device == "cpu":
        return 1 if gpus == "auto" else _refuse_crowd(gpus)
    import torch

    found = torch.cuda.device_count()
    if gpus == "auto":
        return max(1, found)
    if gpus > found and device is not None:
        raise UserError(
            f"gpus={gpus}: this machine has {found} CUDA GPUs; use gpus=auto, or device=cpu for "
            f"processes on the CPU."
        )
    return gpus


def _refuse_crowd(count: int) -> int:
    most = RANKS_A_CORE * count_cores()
    if count > most:
        raise UserError(
            f"gpus={count}: with device=cpu these are processes, and this machine has "
            f"{say_count(count_cores(), 'core')}: start {most} at most."
        )
    return count


def run_ranks(count: int, entry: Callable | str, *arguments) -> dict[int, Any]:
    """Run a function, or a program, in so many processes of this machine.

    Args:
        entry: called as entry(*arguments) by each, so both must be picklable; or a program, which
            is given the arguments.

    Returns:
        What the function returned, by rank.

    Raises:
        torch.distributed.elastic.multiprocessing.errors.ChildFailedError: if one of them fails.
        Interrupted: by a signal.
    """
    quiet_torch()
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # What torch's launcher says of an end, our processes have said in a sentence.
    for name in [*logging.root.manager.loggerDict]:
        if name.startswith("torch.distributed.elastic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(END_SECONDS))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",  # any free port
        local_addr="localhost",
        max_restarts=0,
    )
    try:
        return elastic_launch(config, entry)(*arguments)
    except SignalException as stop:
        raise Interrupted(stop.sigval) from None
