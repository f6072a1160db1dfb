"""What several processes tell one another before and beside the steps, through a store.

It is waited for in Python, so that a signal is heard; tensors go through torch.distributed, see
`landmarks.distributed.collectives`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from landmarks.distributed.processes import is_main, local_rank, local_world, rank, world
from landmarks.errors import UserError

if TYPE_CHECKING:  # the command line comes here before torch is needed
    from torch.distributed import PrefixStore

JOIN_SECONDS = 120.0  # in which all processes must have come
BUILD_SECONDS = 3 * 3600.0  # in which the first process of a node must have read the data
POLL_SECONDS = 0.05
GRACE_SECONDS = 2.0  # in which a process that fails waits for rank 0 to say the same


class Lost(UserError):
    """Another of the processes that do one job has ended; what was saved before is whole."""


class _Meeting:
    """The store, and how often this process asked it for what."""

    store: PrefixStore | None = None
    counts: dict[str, int]

    def __init__(self):
        self.counts = {}

    def next(self, kind: str) -> str:
        """Return a key that all ranks come to in the same order."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        return f"{kind}/{self.counts[kind]}"


_here = _Meeting()


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


def open_part(kind: str) -> PrefixStore:
    """Return a part of the store that was not used before; all ranks come to the same one."""
    from torch.distributed import PrefixStore

    return PrefixStore(_here.next(kind), _here.store)


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
            raise Lost(say_lost()) from error
        failed = failures()
        if failed:
            raise Lost(say_lost(failed))
        if time.monotonic() > until:
            raise Lost(f"{what} did not come within {seconds:.0f} s: the processes are ended.")
        time.sleep(pause)


def fail(sentence: str) -> bool:
    """Let the others know why this process ends; return whether rank 0 says the same."""
    tell(f"failed/{rank()}", sentence)
    tell("failed", True)
    until = time.monotonic() + GRACE_SECONDS
    with suppress(RuntimeError):  # the process that keeps the store has gone
        while not is_main() and _here.store is not None and time.monotonic() < until:
            if _ask_failures().get(0) == sentence:
                return True
            time.sleep(POLL_SECONDS)
    return is_main()


def failures() -> dict[int, str]:
    """Return what the other processes have ended with, by their rank."""
    with suppress(RuntimeError):
        return _ask_failures()
    return {}


def _ask_failures() -> dict[int, str]:
    found = {}
    if _here.store is not None and _here.store.check(["failed"]):
        for other in range(world()):
            key = f"failed/{other}"
            if other != rank() and _here.store.check([key]):
                found[other] = json.loads(_here.store.get(key))
    return found


def say_lost(failed: dict[int, str] | None = None) -> str:
    """Say that another process has ended, and of what."""
    failed = failures() if failed is None else failed
    said = "".join(f" (rank {other}: {text.rstrip('.')})" for other, text in failed.items())
    return f"Another process of this job has ended{said}; what was saved before is whole."


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
