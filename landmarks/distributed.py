"""Several processes that train one model: which of them this is, and what they settle together.

A launcher (torchrun, or `landmarks train gpus=2`) starts them with RANK, WORLD_SIZE and the address
of a store in their environment. With one process everything here does nothing, and torch's part for
several is not loaded. Messages before and beside the steps go through the store and are waited for
in Python, so that a signal is heard; tensors go through torch.distributed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from landmarks.errors import UserError

if TYPE_CHECKING:  # the command line asks for the rank before torch is needed
    import torch
    from torch import Tensor

JOIN_SECONDS = 120.0  # in which all processes must have come
STEP_SECONDS = 600.0  # in which all must have come to the same exchange of tensors
BUILD_SECONDS = 3 * 3600.0  # in which the first process of a node must have read the data
POLL_SECONDS = 0.05
GRACE_SECONDS = 2.0  # in which a process that fails waits for rank 0 to say the same
NAMED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
# How torch, gloo and NCCL say that another process has gone.
GONE = "connection peer gloo nccl socket broken pipe timed out store".split()


class Lost(UserError):
    """Another process of this training has ended; what was saved before is whole."""


class _Meeting:
    """What this process knows of the others: the store, and how often it was asked for what."""

    store: Any = None
    control: Any = None  # a group of the host's own, for numbers that decide
    statistics: Any = None  # one apart from the gradients', whose order may differ between ranks
    counts: dict[str, int]

    def __init__(self):
        self.counts = {}

    def next(self, kind: str) -> str:
        """Return a key that all ranks come to in the same order."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        return f"{kind}/{self.counts[kind]}"


_here = _Meeting()


def world() -> int:
    """Return the number of processes."""
    return int(os.environ["WORLD_SIZE"]) if _is_launched() else 1


def rank() -> int:
    """Return the number of this process, from 0."""
    return int(os.environ["RANK"]) if world() > 1 else 0


def local_rank() -> int:
    """Return the number of this process on its machine, which is the number of its GPU."""
    return int(os.environ["LOCAL_RANK"]) if world() > 1 else 0


def local_world() -> int:
    """Return the number of processes on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", world())) if world() > 1 else 1


def is_main() -> bool:
    """Say whether this is the process that writes files and speaks."""
    return rank() == 0


def part_of(rows):
    """Return this rank's part of the rows of a batch: a sequence or an array, cut evenly."""
    first, end = (len(rows) * (rank() + i) // world() for i in (0, 1))
    return rows[first:end]


def _is_launched() -> bool:
    return all(os.environ.get(name) for name in NAMED)


# Through the store


def meet() -> None:
    """Open the store that all processes share.

    Raises:
        UserError: if it cannot be opened, or not all come in time.
    """
    from torch.distributed import DistNetworkError, DistStoreError, PrefixStore, rendezvous

    place = f"MASTER_ADDR={os.environ['MASTER_ADDR']} MASTER_PORT={os.environ['MASTER_PORT']}"
    try:
        store, *_ = next(rendezvous("env://", timeout=timedelta(seconds=JOIN_SECONDS)))
        _here.store = PrefixStore("landmarks", store)
    except (DistNetworkError, DistStoreError, RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())
        if "EADDRINUSE" in said or "already in use" in said:
            raise UserError(f"{place}: this port is in use; name another one.") from error
        raise UserError(
            f"{place}: the {world()} processes have not come together within {JOIN_SECONDS:.0f} s; "
            f"see that all are started, with one address ({said[:150]})."
        ) from error


def tell(key: str, value: Any) -> None:
    """Let the other processes hear a value, plain JSON data."""
    if _here.store is not None:
        with suppress(RuntimeError):  # who would hear it has gone
            _here.store.set(key, json.dumps(value))


def hear(key: str, what: str, seconds: float = JOIN_SECONDS) -> Any:
    """Wait for what another process tells.

    Args:
        key: that it tells it by.
        what: is waited for, in words.
        seconds: the most that is waited.

    Raises:
        Lost: if another process has failed or ended, or it takes too long.
    """
    until, pause = time.monotonic() + seconds, POLL_SECONDS
    while True:
        try:
            if _here.store.check([key]):
                return json.loads(_here.store.get(key))
        except RuntimeError as error:  # the process that keeps it has gone
            raise Lost(_say_lost()) from error
        failed = failures()
        if failed:
            raise Lost(_say_lost(failed))
        if time.monotonic() > until:
            raise Lost(f"{what} did not come within {seconds:.0f} s: the processes are ended.")
        time.sleep(pause)


def fail(sentence: str) -> bool:
    """Let the others know why this process ends; return whether rank 0 says the same."""
    tell(f"failed/{rank()}", sentence)
    tell("failed", True)
    until = time.monotonic() + GRACE_SECONDS
    while not is_main() and _here.store is not None and time.monotonic() < until:
        if failures().get(0) == sentence:
            return True
        time.sleep(POLL_SECONDS)
    return is_main()


def failures() -> dict[int, str]:
    """Return what the other processes have ended with, by their rank."""
    found = {}
    with suppress(RuntimeError):
        if _here.store is not None and _here.store.check(["failed"]):
            for other in range(world()):
                key = f"failed/{other}"
                if other != rank() and _here.store.check([key]):
                    found[other] = json.loads(_here.store.get(key))
    return found


def _say_lost(failed: dict[int, str] | None = None) -> str:
    failed = failures() if failed is None else failed
    said = "".join(f" (rank {other}: {text.rstrip('.')})" for other, text in failed.items())
    return f"Another process of this training has ended{said}; what was saved before is whole."


def barrier(what: str = "another process", seconds: float = JOIN_SECONDS) -> None:
    """Wait until all processes have come here.

    Raises:
        Lost: see `hear`.
    """
    if world() == 1:
        return
    key = _here.next("barrier")
    tell(f"{key}/{rank()}", True)
    for other in range(world()):
        hear(f"{key}/{other}", what, seconds)


@contextmanager
def first_of_node(what: str) -> Iterator[None]:
    """Let the first process of each machine do this, then the others: they find what it has made.

    Args:
        what: is made, in words.

    Raises:
        Lost: see `hear`.
    """
    if local_world() == 1:
        yield
        return
    node = os.environ.get("GROUP_RANK", "0")
    key = f"{_here.next('first')}/{node}"
    if local_rank() > 0:
        hear(key, what, BUILD_SECONDS)
    yield
    if local_rank() == 0:
        tell(key, True)


def agree(value: Any) -> Any:
    """Return what rank 0 was given, plain JSON data: for what depends on a clock or a machine."""
    if world() == 1:
        return value
    from torch import distributed

    held = [value if is_main() else None]
    with exchanging():
        distributed.broadcast_object_list(held, src=0, group=_here.control)
    return held[0]


def gather(value: Any) -> list:
    """Return what every rank was given, plain data, in the order of ranks."""
    if world() == 1:
        return [value]
    from torch import distributed

    found = [None] * world()
    with exchanging():
        distributed.all_gather_object(found, value, group=_here.control)
    return found


# Of tensors


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Exchange tensors in this context: by NCCL on CUDA, by gloo on the CPU.

    Raises:
        Lost: if another process fails meanwhile.
    """
    if world() == 1:
        yield
        return
    from torch import distributed

    barrier("the start of another process")
    name = _here.next("group")
    limit = timedelta(seconds=STEP_SECONDS)
    with exchanging():
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
            store=distributed.PrefixStore(name, _here.store),
            rank=rank(),
            world_size=world(),
            timeout=limit,
        )
        _here.control = distributed.new_group(backend="gloo", timeout=limit)
        _here.statistics = distributed.new_group(timeout=limit)
    try:
        with exchanging():
            yield
        distributed.destroy_process_group()
    finally:
        _here.control = _here.statistics = None


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
        raise Lost(_say_lost()) from error


def reduce(tensor: Tensor) -> Tensor:
    """Return the sum over all ranks; of a fake tensor, whose memory is counted, itself."""
    if world() == 1 or not _is_real(tensor):
        return tensor
    from torch import distributed

    total = tensor.detach().clone()
    distributed.all_reduce(total, group=_here.statistics)
    return total


def mean(tensor: Tensor) -> Tensor:
    """Return the mean over all ranks, see `reduce`."""
    return tensor if world() == 1 else reduce(tensor) / world()


def average(tensors: list[Tensor]) -> None:
    """Replace tensors by their means over all ranks, in place."""
    if world() == 1:
        return
    from torch import distributed

    for tensor in tensors:
        distributed.all_reduce(tensor)
        tensor.div_(world())


def stack(tensor: Tensor) -> Tensor:
    """Return (ranks, ...), the tensors of all ranks; of a fake tensor itself, as one."""
    if world() == 1 or not _is_real(tensor):
        return tensor[None]
    from torch import distributed

    found = tensor.new_empty(world(), *tensor.shape)
    distributed.all_gather(list(found.unbind()), tensor.contiguous(), group=_here.statistics)
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


def draw_apart(seed: int) -> None:
    """Let torch draw other random numbers on each rank but the first, which draws as if alone."""
    if not is_main():
        import torch

        torch.manual_seed(seed + 1_000_003 * rank())


def largest(number: int) -> int:
    """Return the largest of the ranks' numbers; the host waits, the device does not."""
    if world() == 1:
        return number
    import torch

    found = torch.tensor(number)
    with exchanging():
        torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX, group=_here.control)
    return int(found)


def copy_from_main(tensors: list[Tensor]) -> None:
    """Let tensors of all ranks be those of rank 0, in place."""
    if world() == 1:
        return
    from torch import distributed

    for tensor in tensors:
        distributed.broadcast(tensor, src=0)


def _is_real(tensor: Tensor) -> bool:
    return type(tensor).__name__ in ("Tensor", "Parameter")
