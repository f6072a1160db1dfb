"""Worker processes that read images: how many fit, and why they failed, in one sentence."""

import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from landmarks.errors import UserError, say_count

log = logging.getLogger(__name__)
PREFETCH = 4  # batches that each process reads ahead
TENSORS = 5  # of a batch; each is an open file while it is passed on
PIPES = 8  # open files for each process
SHARED_MEMORY = Path("/dev/shm")
OPEN_FILES = Path("/proc/self/fd")
NO_SHARED_MEMORY = "shared memory is full", "make /dev/shm larger (docker run --shm-size=8g)"
NO_FILES = "no more files may be open", "raise `ulimit -n`"
REASONS = {  # words of torch and Linux, in lower case -> the cause, and what helps besides fewer
    "too many open files": NO_FILES,
    "ancdata": NO_FILES,
    "shared memory": NO_SHARED_MEMORY,
    "torch_": NO_SHARED_MEMORY,
    "bus error": NO_SHARED_MEMORY,
    "signal: killed": ("memory has run out", "use a smaller batch_size"),
    "dataloader worker (pid": ("one has ended silently", "see whether memory or /dev/shm is full"),
}


def count_readers(wanted: int, batch: int) -> int:
    """Return how many reading processes fit, with a warning if that is fewer than wanted.

    A process without room for a batch drops it, and training would wait for ever.

    Args:
        wanted: number of processes.
        batch: bytes of a batch.
    """
    room = {}
    if SHARED_MEMORY.is_dir():  # half of it: validation has reading processes too
        each = PREFETCH * (batch + TENSORS * os.sysconf("SC_PAGE_SIZE"))
        free = shutil.disk_usage(SHARED_MEMORY).free
        room[f"{SHARED_MEMORY} (docker run --shm-size=8g)"] = free // 2 // each
    if OPEN_FILES.is_dir():
        import resource

        left = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - len(list(OPEN_FILES.iterdir()))
        room["the number of open files (ulimit -n)"] = max(0, left - PREFETCH * TENSORS) // PIPES
    for what, count in room.items():
        if count < wanted:
            log.warning(
                f"{say_count(count, 'reading process')} instead of {wanted}: more do not fit; "
                f"raise {what}."
            )
            wanted = count
    return wanted


def let_kill(processes: list) -> None:
    """Make `terminate` send SIGKILL to worker processes: they block SIGTERM.

    Otherwise this process would wait at its end for one that hangs.
    """
    for process in processes:
        started = getattr(process, "_popen", None)
        if hasattr(started, "kill"):
            started.terminate = started.kill


def end_readers(iterator: Callable) -> None:
    """End worker processes in order, before this process's end would kill them.

    Args:
        iterator: returns torch's iterator of the loader; None if it is gone, and they with it.
    """
    if hasattr(iterator(), "_shutdown_workers"):
        iterator()._shutdown_workers()


@contextmanager
def explain_readers(workers: int) -> Iterator[None]:
    """Turn errors of so many worker processes in this context into advice.

    Raises:
        UserError: if a process has ended, or memory or open files have run out; also a process's
            own, without the trace that torch puts before it.
    """
    try:
        yield
    except UserError as error:
        own = str(error).rpartition(f".{UserError.__name__}: ")[2].strip()
        if workers == 0 or own == str(error):
            raise
        raise UserError(own) from error
    except (RuntimeError, OSError) as error:
        said = str(error).lower()
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.ENOMEM)
        found = next((reason for words, reason in REASONS.items() if words in said), None)
        if workers == 0 or (found is None and not full):
            raise
        what, advice = found or (error.strerror, "make room in memory and /dev/shm")
        raise UserError(
            f"The {workers} reading processes have failed because {what}: {advice}, or use "
            f"workers={workers // 2}."
        ) from error
