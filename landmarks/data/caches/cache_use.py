"""Lists caches, marks those in use, and removes one without harm to a run."""

import contextlib
import json
import os
import time
from pathlib import Path
from typing import NamedTuple

from landmarks.files import aside

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

NOTE = "made_from.json"
DAY = 86_400
CANVAS = {"pixels", "matrices", "stamps"}  # all that canvases held before they had a note
_held: dict[Path, int] = {}


class Entry(NamedTuple):
    """A cache: its folder, what it was made from, its bytes on the disk, its last use (a time)."""

    folder: Path
    note: dict
    size: int
    used: float

    @property
    def name(self) -> str:
        """Its kind and its folder's name."""
        return f"{self.folder.parent.name}/{self.folder.name}"


def read_note(folder: Path) -> dict | None:
    """Return what a cache was made from; None if its folder has no valid note."""
    try:
        note = json.loads((folder / NOTE).read_text())
    except (OSError, ValueError):
        return None
    return note if isinstance(note, dict) else None


def hold(folder: Path) -> bool:
    """Mark a cache as used now and in use until this process ends; False if it is gone."""
    try:
        file = os.open(folder / NOTE, os.O_RDONLY)
    except OSError:
        return False
    if not _lock(file, exclusive=False) or os.fstat(file).st_nlink == 0:
        os.close(file)
        return False
    with contextlib.suppress(OSError):  # another user's cache, read-only
        os.utime(folder / NOTE)
    _drop(folder)
    _held[folder] = file
    return True


def claim(folder: Path, note: dict) -> None:
    """Make a cache's folder with its note, if there is none, and `hold` it.

    Raises:
        OSError: if it cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with (folder / NOTE).open("x") as file:  # never replaced: all processes lock this file
            file.write(json.dumps(note, indent=1))
    except FileExistsError:
        pass
    if not hold(folder):
        raise OSError(f"{folder} is being removed")


def release() -> None:
    """End this process's use of caches."""
    for folder in list(_held):
        _drop(folder)


def remove(folder: Path) -> bool:
    """Remove a cache, unless a process uses it; say whether it is gone."""
    try:
        file = os.open(folder / NOTE, os.O_RDONLY)
    except OSError:
        file = None
    try:
        if file is not None and not _lock(file, exclusive=True):
            return False
        with aside(folder) as part:
            folder.rename(part)
    except OSError:
        return False
    finally:
        if file is not None:
            os.close(file)
    return True


def list_caches(root: Path) -> list[Entry]:
    """Return the caches below a cache folder, the longest unused first; other folders are ignored.

    Raises:
        OSError: if a folder cannot be read.
    """
    found = []
    kinds = [kind for kind in root.iterdir() if kind.is_dir()] if root.is_dir() else []
    for folder in (folder for kind in kinds for folder in kind.iterdir()):
        if folder.name.startswith(".") or folder.is_symlink() or not folder.is_dir():
            continue
        note = read_note(folder)
        files = [path for path in folder.rglob("*") if path.is_file()]
        if note is None and {path.name for path in folder.iterdir()} == CANVAS:
            note = {"path": "", "version": 1}
        if note is None or not {"path", "version"} <= note.keys():
            continue
        stats = [path.stat() for path in files]
        size = sum(getattr(stat, "st_blocks", stat.st_size / 512) * 512 for stat in stats)
        marked = folder / NOTE
        used = marked.stat().st_mtime if marked.exists() else max(s.st_mtime for s in stats)
        found.append(Entry(folder, note, int(size), used))
    return sorted(found, key=lambda entry: entry.used)


def _drop(folder: Path) -> None:
    if folder in _held:
        os.close(_held.pop(folder))


def _lock(file: int, exclusive: bool) -> bool:
    """Lock an open note, without waiting; False where another process uses, or removes, it."""
    if fcntl is None:
        return not exclusive or time.time() - os.fstat(file).st_mtime > DAY
    try:
        fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a disk without locks: what was used today may be in use
        return not exclusive or time.time() - os.fstat(file).st_mtime > DAY
    return True
