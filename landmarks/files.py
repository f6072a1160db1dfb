"""The one way a file or folder is made or replaced: written aside, renamed when it is whole.

What is aside carries the process that writes it in its name, `.PID.COUNT@HOST~NAME`. A killed
process cannot remove it; the next one that looks into the folder does.
"""

import errno
import itertools
import os
import platform
import re
import shutil
import struct
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tokenize import TokenError
from typing import IO

from landmarks.errors import UserError

PART = re.compile(r"\.(\d+)\.\d+@([^~]*)~.")
# What NumPy raises where a .npy or .npz file was damaged.
NUMPY_DAMAGE = (
    *(OSError, EOFError, LookupError, RuntimeError, SyntaxError, TypeError, ValueError),
    *(MemoryError, TokenError, struct.error, zipfile.BadZipFile, zlib.error),
)
DAY = 86_400  # seconds after which what another machine has begun and not touched is given up

_count = itertools.count()  # threads may write to one place
_under_way: set[Path] = set()  # by this process


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it is removed when the context is left.

    It ends as `path` does: many writers choose the format by that.
    """
    part = path.with_name(f".{os.getpid()}.{next(_count)}@{_host()}~{path.name}")
    _under_way.add(part)
    try:
        yield part
    finally:
        _remove(part)
        _under_way.discard(part)


@contextmanager
def replacing(path: Path, *, sync: bool = False) -> Iterator[Path]:
    """Yield where to write; the file is put in its place if the context is left without an error.

    So `path` holds the old file or the new one, whatever happens.

    Args:
        path: of the file.
        sync: wait for the disk, so that not even a power cut leaves anything else.

    Raises:
        UserError: if it cannot be written, the disk being full for example.
    """
    with aside(path) as part, writing(path):
        yield part
        if sync:
            with part.open("rb+") as file:
                os.fsync(file.fileno())
        part.replace(path)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise UserError where `path` cannot be written in this context, the disk being full say."""
    try:
        yield
    except Exception as error:
        refused = _refusal(error)
        if refused is None:
            raise
        kept = "; what was there before is untouched" if path.exists() else ""
        raise UserError(
            f"{path} cannot be written ({refused.strerror or refused}){kept}: make room, see that "
            f"the folder can be written to, or name another one."
        ) from error


def refuse_foreign(path: Path, start: bytes, said: str) -> None:
    """Refuse to replace a file of another kind than the one that is to be written.

    Args:
        start: what every file of that kind begins with.
        said: the file as a sentence's subject, with the setting that names it.

    Raises:
        UserError: if there is a file with content that begins otherwise.
    """
    if not path.is_file():
        return
    with path.open("rb") as file:
        found = file.read(len(start))
    if found not in (b"", start):
        raise UserError(f"{said} is there and is another kind of file: name another one.")


def refuse_twice(paths: Iterable[Path]) -> None:
    """Refuse a list that names one file or folder several times, however it is spelled.

    Raises:
        UserError: naming it.
    """
    seen: dict[Path, Path] = {}
    for path in paths:
        whole = path.resolve()
        if whole in seen:
            also = "" if path == seen[whole] else f", once as {seen[whole]}"
            error = UserError(f"{path} is given twice{also}: give each one once.")
            error.code = 2
            raise error
        seen[whole] = path


def remove_folder(folder: Path) -> None:
    """Remove a folder in one piece: killed half-way, it is not taken for a whole one."""
    with aside(folder) as part, suppress(OSError):  # somebody else's, or gone
        folder.rename(part)


def explain_refusal(error: OSError) -> str | None:
    """Return in one sentence what the system refuses and what to do; None where it is no help."""
    advice = {
        errno.EMFILE: "raise `ulimit -n`, or use fewer workers",
        errno.ENFILE: "close other programs",
        errno.ENOMEM: "close other programs",
        errno.ENOSPC: "make room there",
        errno.EDQUOT: "make room there",
        errno.EROFS: "name another folder",
        errno.EACCES: "see that it may be read and written",
        errno.EPERM: "see that it may be read and written",
        errno.ENAMETOOLONG: "see whether it is a path at all",
        errno.EIO: "see whether the disk is sound",
    }
    if error.errno not in advice:
        return None
    named = f"{error.filename}: " if error.filename else ""
    return f"{named}{error.strerror}: {advice[error.errno]}."


def reserve(file: Path | IO[bytes], start: int = 0, size: int | None = None) -> None:
    """Reserve the room on the disk that a file needs, or `size` bytes of it from `start` on.

    To write to a mapped file with holes on a full disk kills the process without a message.

    Raises:
        OSError: if there is no such room.
    """
    if isinstance(file, Path):
        with file.open("rb+") as opened:
            reserve(opened, start, size)
        return
    size = os.fstat(file.fileno()).st_size if size is None else size
    if hasattr(os, "posix_fallocate") and size:
        os.posix_fallocate(file.fileno(), start, size)


def _refusal(error: BaseException | None) -> OSError | None:
    """Return the system's own error behind another one, torch's RuntimeError for example."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error


def sweep(folder: Path) -> None:
    """Remove from a folder what processes that are gone have left unfinished there."""
    try:
        names = [entry.name for entry in os.scandir(folder)]
    except OSError:  # not there, or not ours to look at
        return
    for name in names:
        found, part = PART.match(name), folder / name
        if found and part not in _under_way and _is_gone(int(found[1]), found[2], part):
            _remove(part)


def _is_gone(pid: int, host: str, part: Path) -> bool:
    if host != _host():
        try:
            return time.time() - part.stat().st_mtime > DAY
        except OSError:  # gone meanwhile
            return False
    if pid == os.getpid():  # begun by a namesake: in a container all starts have one number
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # somebody else's
        return False
    return False


def _host() -> str:
    return re.sub(r"[^\w.-]", "", platform.node())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):  # somebody else's: to clean up must not be what fails
        path.unlink(missing_ok=True)
