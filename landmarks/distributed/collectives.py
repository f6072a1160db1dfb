"""Exchanges of tensors and of numbers that decide, which all processes come to in the same order.

They go through torch.distributed; with one process each returns what it was given.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed

from landmarks.distributed.processes import is_main, rank, world
from landmarks.distributed.rank_messages import (
    GRACE_SECONDS,
    JOIN_SECONDS,
    Lost,
    barrier,
    open_part,
    say_lost,
)

STEP_SECONDS = 600.0  # in which all must have come to the same exchange of tensors
# How torch, gloo and NCCL say that another process has gone.
GONE = "connection peer gloo nccl socket broken pipe timed out store".split()


class _Groups:
    """The groups of processes beside that of the gradients."""

    control: Any = None  # of the host's own, for numbers that decide
    statistics: Any = None  # apart, as the order of these may differ from that of the gradients'


_groups = _Groups()


@contextmanager
def joined(device: torch.device, seconds: float = JOIN_SECONDS) -> Iterator[None]:
    """Exchange tensors in this context: by NCCL on CUDA, by gloo on the CPU.

    Args:
        device: of the tensors.
        seconds: in which all processes must have come here.

    Raises:
        Lost: if another process fails meanwhile.
    """
    if world() == 1:
        yield
        return
    barrier("the start of another process", seconds)
    limit = timedelta(seconds=STEP_SECONDS)
    with exchanging():
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
            store=open_part("group"),
            rank=rank(),
            world_size=world(),
            timeout=limit,
        )
        _groups.control = distributed.new_group(backend="gloo", timeout=limit)
        _groups.statistics = distributed.new_group(timeout=limit)
    try:
        with exchanging():
            yield
        distributed.destroy_process_group()
    except BaseException:
        if device.type == "cpu":  # so that the others need not wait for this one; NCCL might wait
            with suppress(RuntimeError):
                distributed.destroy_process_group()
        raise
    finally:
        _groups.control = _groups.statistics = None


def are_joined() -> bool:
    """Say whether this is in the context of `joined`, with several processes."""
    return _groups.statistics is not None


@contextmanager
def exchanging() -> Iterator[None]:
    """Say of an exchange that fails in this context that another process has gone.

    Raises:
        Lost: then.
    """
    try:
        yield
    except RuntimeError as error:
        said = str(error).lower()
        if world() == 1 or not any(word in said for word in GONE) or "out of memory" in said:
            raise
        time.sleep(GRACE_SECONDS / 4)  # for what the other one has to say
        raise Lost(say_lost()) from error


def agree(value: Any) -> Any:
    """Return what rank 0 was given, plain JSON data: for what depends on a clock or a machine."""
    if world() == 1:
        return value
    held = [value if is_main() else None]
    with exchanging():
        distributed.broadcast_object_list(held, src=0, group=_groups.control)
    return held[0]


def gather(value: Any, everywhere: bool = True) -> list:
    """Return what every rank was given, plain data or arrays, in the order of ranks.

    Args:
        everywhere: on all ranks; False: on rank 0, and nothing on the others.
    """
    if world() == 1:
        return [value]
    found = [None] * world() if everywhere or is_main() else None
    with exchanging():
        if everywhere:
            distributed.all_gather_object(found, value, group=_groups.control)
        else:
            distributed.gather_object(value, found, dst=0, group=_groups.control)
    return found or []


def largest(number: int) -> int:
    """Return the largest of the ranks' numbers; the host waits, the device does not."""
    if world() == 1:
        return number
    found = torch.tensor(number)
    with exchanging():
        distributed.all_reduce(found, distributed.ReduceOp.MAX, group=_groups.control)
    return int(found)


def reduce(tensor: Tensor) -> Tensor:
    """Return the sum over all ranks; of a fake tensor, whose memory is counted, itself."""
    if world() == 1 or not _is_real(tensor):
        return tensor
    total = tensor.detach().clone()
    distributed.all_reduce(total, group=_groups.statistics)
    return total


def mean(tensor: Tensor) -> Tensor:
    """Return the mean over all ranks, see `reduce`."""
    return tensor if world() == 1 else reduce(tensor) / world()


def average(tensors: list[Tensor]) -> None:
    """Replace tensors by their means over all ranks, in place."""
    if world() == 1:
        return
    for tensor in tensors:
        distributed.all_reduce(tensor)
        tensor.div_(world())


def stack(tensor: Tensor) -> Tensor:
    """Return (ranks, ...), the tensors of all ranks; of a fake tensor itself, as one."""
    if world() == 1 or not _is_real(tensor):
        return tensor[None]
    found = tensor.new_empty(world(), *tensor.shape)
    distributed.all_gather(list(found.unbind()), tensor.contiguous(), group=_groups.statistics)
    return found


def divisor(count: Tensor) -> Tensor:
    """Return what a rank divides a sum of losses by, for the mean over the whole batch.

    The mean over ranks of the quotients is then the sum over all ranks by the count over all: ranks
    may have different numbers of labels.

    Args:
        count: labelled elements of this rank's part, a scalar; nowhere any counts as one.
    """
    if world() == 1 or not _is_real(count):
        return count.clamp(min=1)
    return reduce(count.float()).clamp(min=1) / world()


def copy_from_main(tensors: list[Tensor]) -> None:
    """Let tensors of all ranks be those of rank 0, in place."""
    if world() == 1:
        return
    for tensor in tensors:
        distributed.broadcast(tensor, src=0)


def _is_real(tensor: Tensor) -> bool:
    return type(tensor).__name__ in ("Tensor", "Parameter")
