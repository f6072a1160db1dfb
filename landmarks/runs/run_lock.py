"""The lock of a run's folder: one process at a time trains in it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from landmarks.errors import UserError

try:
    import fcntl
except ImportError:  # Windows: nothing is locked
    fcntl = None

LOCK = ".lock"  # in the run's folder, while it trains


@contextmanager
def hold(run: Path) -> Iterator[None]:
    """Hold the lock of a run's folder.

    Raises:
        UserError: if another process holds it.
    """
    path = run / LOCK
    file = _lock(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # before the lock is released: another may create it anew
        file.close()


def is_held(run: Path) -> bool:
    """Say whether another process trains in this folder."""
    if fcntl is None or not (run / LOCK).is_file():
        return False
    try:
        with (run / LOCK).open("r+") as file:
            return not _take(file)
    except OSError:  # gone since, or not ours to open
        return False


def _lock(path: Path) -> IO:
    while True:
        try:
            file = path.open("a")
        except OSError as error:
            raise UserError(
                f"{path.parent} cannot be written ({error.strerror}): set run_dir=FOLDER."
            ) from error
        if not _take(file):
            file.close()
            raise UserError(
                f"{path.parent} is being trained by another process: wait for it to end, or name "
                f"another folder."
            )
        try:
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except FileNotFoundError:
            pass
        file.close()  # the last holder removed it between our opening and locking


def _take(file: IO) -> bool:
    """Lock an open file; False if another process holds it. Child processes do not inherit it."""
    if fcntl is None:
        return True
    try:
        # Not flock: worker processes would inherit it, and they outlive a killed parent by seconds.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks
        return True
    return True
