"""The room of a store's shards: a folder of this machine's disk that never holds more than it may.

All processes of a machine share it. What was used longest ago goes first.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from landmarks.data.packs.shard_store import DISK, Store
from landmarks.errors import UserError
from landmarks.files import aside, sweep

try:
    import fcntl
except ImportError:  # Windows: two processes may fetch a shard at once, and keep one of them
    fcntl = None

log = logging.getLogger(__name__)


class ShardRoom:
    """Shards of a store that lie on this machine's disk.

    Args:
        folder: where they lie.
        store: where they come from.
        sizes: bytes of each shard.
        limit: bytes that the folder may hold.
        ahead: shards that this process may be fetching at once.
    """

    def __init__(self, folder: Path, store: Store, sizes: list[int], limit: int, ahead: int):
        self.folder, self.store, self.sizes = folder, store, sizes
        self.kept = limit - ahead * max(sizes)  # while others are on their way
        self.doubted: set[str] = set()
        sweep(folder)

    def read(self, name: str, start: int, length: int, shard: int) -> bytes | None:
        """Return bytes of a shard, from here or else from the store; None: it has no such bytes.

        Raises:
            UserError: if the store cannot be reached.
        """
        path = self.folder / name
        with suppress(OSError), path.open("rb", buffering=0) as file:
            file.seek(start)
            os.utime(path)
            return file.read(length)
        data = self.store.read(name, start, start + length)
        if data is None or len(data) <= length:
            return data
        self._keep(name, shard, data)  # of a server that gives no parts of files
        return data[start : start + length]

    def doubt(self, name: str) -> None:
        """Let a shard be fetched anew, once: it may be damaged here and whole in the store."""
        if name not in self.doubted:
            self.doubted.add(name)
            with suppress(OSError):
                (self.folder / name).unlink()

    def fetch(self, name: str, shard: int) -> None:
        """Bring a shard here, if it is not; one that the store lacks is warned of.

        Raises:
            UserError: if the store cannot be reached, or this disk is full.
        """
        place = self.folder / name
        if place.is_file():
            return
        with self._lock(name), self._explained(), aside(place) as part:
            if place.is_file():  # by another process, meanwhile
                return
            self._make_room(self.sizes[shard])
            if not self.store.copy(name, part):
                log.warning(f"{self.store.address(name)}: there is no such shard.")
                return
            size = part.stat().st_size
            if size != self.sizes[shard]:
                log.warning(
                    f"{self.store.address(name)} has {size} bytes and was packed with "
                    f"{self.sizes[shard]}: it is damaged."
                )
            part.replace(place)

    def _keep(self, name: str, shard: int, data: bytes) -> None:
        place = self.folder / name
        with self._explained(), aside(place) as part:
            self._make_room(self.sizes[shard])
            part.write_bytes(data)
            part.replace(place)

    def _make_room(self, needed: int) -> None:
        """Remove what was used longest ago until there is room for so many bytes."""
        found = []
        for entry in os.scandir(self.folder):
            with suppress(OSError):  # gone meanwhile
                if not entry.name.startswith("."):
                    stat = entry.stat()
                    found.append((stat.st_mtime_ns, stat.st_size, entry.path))
        held = sum(size for _, size, path in found if path.endswith(".tar"))
        for _, size, path in sorted(found):
            if held + needed <= self.kept:
                return
            if path.endswith(".tar"):
                with suppress(OSError):
                    Path(path).unlink()
                held -= size

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in DISK:
                raise
            raise UserError(
                f"{self.folder} cannot take another shard ({error.strerror}): make room there, set "
                f"data.cache_dir=FOLDER, or a smaller data.room_gb."
            ) from error

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        """Wait until no other process of this machine fetches the shard."""
        with (self.folder / f".{name}.lock").open("wb") as file:
            if fcntl is not None:
                with suppress(OSError):  # a disk without locks
                    fcntl.flock(file, fcntl.LOCK_EX)
            yield
