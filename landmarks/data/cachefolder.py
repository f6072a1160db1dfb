"""Things made once from a source and kept: built aside, then renamed into place."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from landmarks.errors import UserError
from landmarks.files import aside, sweep

log = logging.getLogger(__name__)
NOTE = "made_from.json"


def default_cache() -> Path:
    """Return $LANDMARKS_CACHE, or `landmarks` in the user's cache folder."""
    named = os.environ.get("LANDMARKS_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "landmarks"


def cache_root(kind: str, cache_dir: str | None) -> Path:
    """Return the folder of the caches of one kind; `cache_dir` None: below `default_cache()`."""
    return (Path(cache_dir) if cache_dir else default_cache()) / kind


def describe_source(path: Path, version: int) -> dict:
    """Return what a cache of the file `path` depends on, as plain JSON data."""
    stat = path.stat()
    return {
        "path": str(path.resolve()),
        "size": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
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
        source: plain JSON data; as soon as it differs from what the folder was made from, the
            folder is made again. Must hold "path".
        build: fills an empty folder and returns what is worth noting, plain JSON data.
        cache_dir: where caches live; None: `default_cache()`.
        is_whole: says whether a finished folder is undamaged; a damaged one is made again.

    Returns:
        The folder, and the note: `source` plus what `build` returned.

    Raises:
        UserError: if the cache cannot be written.

    Two processes may build at once: each builds aside, and the later one takes the earlier's.
    """
    root = cache_root(kind, cache_dir)
    place = hashlib.sha256(source["path"].encode()).hexdigest()[:12]
    stamp = hashlib.sha256(json.dumps(source, sort_keys=True).encode()).hexdigest()[:12]
    folder = root / f"{place}-{stamp}"
    note = _read_note(folder)
    if note is not None and is_whole(folder, note):
        return folder, note
    try:
        if folder.exists():
            log.warning("%s is damaged; making it again.", folder)
            shutil.rmtree(folder, ignore_errors=True)
        root.mkdir(parents=True, exist_ok=True)
        sweep(root)
        with aside(folder) as part:
            part.mkdir()
            note = {**source, **build(part)}
            (part / NOTE).write_text(json.dumps(note, indent=1))
            _move_into_place(part, folder)
    except OSError as error:
        raise UserError(
            f"The cache {root} cannot be made ({error}): make room there, or set "
            f"data.cache_dir=FOLDER or LANDMARKS_CACHE."
        ) from error
    for old in root.glob(f"{place}-*"):
        if old != folder:
            shutil.rmtree(old, ignore_errors=True)
    return folder, _read_note(folder) or note


def _read_note(folder: Path) -> dict | None:
    try:
        return json.loads((folder / NOTE).read_text())
    except (OSError, ValueError):
        return None


def _move_into_place(part: Path, folder: Path) -> None:
    try:
        part.rename(folder)
    except OSError:
        if _read_note(folder) is None:  # not another process's finished folder: a real failure
            raise
