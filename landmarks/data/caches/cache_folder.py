"""Caches: made once from a source, built aside, then renamed into place."""

import hashlib
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

from landmarks.data.caches.cache_use import NOTE, hold, read_note, remove
from landmarks.errors import UserError
from landmarks.files import aside, remove_folder, sweep

log = logging.getLogger(__name__)
MAX_SYNCED_FILES = 64  # synced one by one; of more files, the whole disk is synced


def default_cache() -> Path:
    """Return $LANDMARKS_CACHE, or `landmarks` in the user's cache folder.

    Raises:
        UserError: if neither is set and the user has no home.
    """
    named = os.environ.get("LANDMARKS_CACHE")
    if named:
        return Path(named)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "landmarks"
    except RuntimeError as error:
        raise UserError(
            "There is no place for caches, as this user has no home folder: set LANDMARKS_CACHE, "
            "or data.cache_dir=FOLDER."
        ) from error


def cache_root(kind: str, cache_dir: str | None) -> Path:
    """Return the folder of the caches of one kind, below `find_cache(cache_dir)`."""
    return find_cache(cache_dir) / kind


def find_cache(cache_dir: str | None) -> Path:
    """Return the folder of caches; `cache_dir` None: `default_cache()`."""
    return Path(cache_dir) if cache_dir else default_cache()


def describe_source(path: Path, version: int) -> dict:
    """Return what a cache of the file `path` depends on, as plain JSON data."""
    stat = path.stat()
    return {
        "path": str(path.resolve()),
        "size": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
        "ctime_ns": stat.st_ctime_ns,  # unlike mtime, it cannot be set: copies may keep mtime
        "version": version,
    }


def cached(
    kind: str,
    source: dict,
    build: Callable[[Path], dict],
    cache_dir: str | None = None,
    is_whole: Callable[[Path, dict], bool] = lambda folder, note: True,
) -> tuple[Path, dict]:
    """Return the folder made from `source`, building it if there is none yet.

    Args:
        kind: what it is, one word; with the source's path it names the folder.
        source: plain JSON data that the folder depends on, with a key "path". The folder is made
            again once it differs.
        build: fills an empty folder and returns plain JSON data for the note.
        cache_dir: where caches live; None: `default_cache()`.
        is_whole: says whether a finished folder is undamaged; a damaged one is made again.

    Returns:
        The folder, and the note: `source` plus what `build` returned.

    Raises:
        UserError: if the cache cannot be written.

    Two processes may build at once: each builds aside, and the later one uses the earlier one's
    folder. No process removes the folder while this one lives.
    """
    root = cache_root(kind, cache_dir)
    place = hashlib.sha256(os.fsencode(source["path"])).hexdigest()[:12]
    stamp = hashlib.sha256(json.dumps(source, sort_keys=True).encode()).hexdigest()[:12]
    folder = root / f"{place}-{stamp}"
    note = read_note(folder)
    if note is not None and _has_all(folder, note) and is_whole(folder, note) and hold(folder):
        return folder, note
    try:
        if folder.exists():
            log.warning(f"{folder} is damaged; making it again.")
            remove_folder(folder)
        root.mkdir(parents=True, exist_ok=True)
        sweep(root)
        with aside(folder) as part:
            part.mkdir()
            note = {**source, **_build(build, part)}
            (part / NOTE).write_text(json.dumps(note, indent=1))
            sync_folder(part)
            _move_into_place(part, folder)
    except OSError as error:
        raise cannot_make(root, error) from error
    hold(folder)
    for old in root.glob(f"{place}-*"):
        if old != folder:
            remove(old)
    return folder, read_note(folder) or note


def cannot_make(root: Path, error: OSError) -> UserError:
    """Return the error for a cache that cannot be written."""
    return UserError(
        f"The cache {root} cannot be made ({error}): make room there, or set "
        f"data.cache_dir=FOLDER or LANDMARKS_CACHE."
    )


def _build(build: Callable[[Path], dict], part: Path) -> dict:
    """Fill an empty folder; an error of reading the source names the source's file."""
    try:
        noted = build(part)
    except OSError as error:
        if error.filename is None or str(error.filename).startswith(str(part)):
            raise
        raise UserError(f"{error.filename} cannot be read ({error.strerror}).") from error
    sizes = {
        path.relative_to(part).as_posix(): path.stat().st_size
        for path in sorted(part.rglob("*"))
        if path.is_file()
    }
    return {**noted, "sizes": sizes}


def _has_all(folder: Path, note: dict) -> bool:
    """Say whether all files are there in full: a power cut may leave them empty."""
    try:
        return all((folder / name).stat().st_size == n for name, n in note["sizes"].items())
    except (OSError, KeyError, AttributeError):
        return False


def sync_folder(folder: Path) -> None:
    """Write a folder's files through to the disk before the folder gets its name."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    if len(files) > MAX_SYNCED_FILES and hasattr(os, "sync"):
        os.sync()
        return
    for path in files:
        with path.open("rb+") as file:
            os.fsync(file.fileno())


def _move_into_place(part: Path, folder: Path) -> None:
    try:
        part.rename(folder)
    except OSError:
        if read_note(folder) is None:  # not another process's finished folder: a real failure
            raise
