"""`landmarks cache`: what the caches hold, how large they are, and when they were last used."""

import logging
import time
from dataclasses import dataclass

from landmarks.data.caches.cache_folder import find_cache
from landmarks.data.caches.cache_use import DAY, Entry, list_caches, remove
from landmarks.errors import UserError, say_count
from landmarks.machine import say_bytes
from landmarks.settings import NonNegative

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class CacheSettings:
    """All that the command is told, of configs/cache.yaml."""

    only: str | None
    unused_for: NonNegative
    clear: bool
    cache_dir: str | None
    run_dir: str


def cache(settings: CacheSettings) -> int:
    """List caches or clear them; return the exit code."""
    root = find_cache(settings.cache_dir)
    if root.exists() and not root.is_dir():
        raise UserError(f"cache_dir={root} is a file: name the folder that holds the caches.")
    before = time.time() - settings.unused_for * DAY
    kept = list_caches(root)
    found = [e for e in kept if settings.only is None or settings.only in describe_cache(e)]
    kinds = sorted({entry.folder.parent.name for entry in kept})
    if settings.only is not None and not found and kept:
        raise UserError(
            f"only={settings.only}: no line of the list holds this. Its kinds are "
            f"{', '.join(f'{kind}/' for kind in kinds)}: only=KIND/, a name or a part of a path."
        )
    found = [entry for entry in found if entry.used <= before]
    for entry in found:
        log.info(describe_cache(entry))
    removed = [entry for entry in found if settings.clear and remove(entry.folder)]
    total = say_bytes(sum(entry.size for entry in found))
    log.info(f"{say_count(len(found), 'cache')}, {total}, in {root}")
    if settings.clear:
        log.info(
            f"Removed {len(removed)} of them, {say_bytes(sum(entry.size for entry in removed))}."
        )
        if len(removed) < len(found):
            log.warning(f"Kept {len(found) - len(removed)} that a run is using.")
    elif found:
        log.info("To remove them, add clear=true. Runs rebuild the caches that they need.")
    return 0


def describe_cache(entry: Entry) -> str:
    """Return a line on a cache: its kind and name, size, last use, and what it was made from."""
    note = entry.note
    crop = note.get("crop")
    crop = "-".join(map(str, crop)) if isinstance(crop, list) else crop
    made = f" ({crop} at {note['size']} pixels)" if crop else ""
    used = time.strftime("%Y-%m-%d", time.localtime(entry.used))
    source = note["path"] or "unknown images"
    return f"{entry.name:<42} {say_bytes(entry.size):>8}  used {used}  {source}{made}"
