"""Files of a store that fsspec opens: HTTP, S3, Google Cloud, Azure, Hugging Face and others.

Only what names a protocol (`http://`, `s3://`) comes here; other places are folders.
"""

import errno
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from landmarks.errors import UserError
from landmarks.files import aside, sweep

log = logging.getLogger(__name__)
PAUSES = (0.5, 2.0)  # seconds before the second and the third try
CONNECT_SECONDS, SILENT_SECONDS = 20, 60  # of HTTP, until it is given up
NO_SUCH_PART = 416  # HTTP's answer where a file ends before
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # of this machine's disk, not of the store


def is_remote(root: str) -> bool:
    """Say whether a root names a store, such as `https://host/faces` or `s3://bucket/faces`."""
    return "://" in root


class Store:
    """A folder of a store.

    Args:
        root: its address, with a protocol that fsspec knows.

    Every process, and every thread that asks, opens connections of its own.
    """

    def __init__(self, root: str):
        self.root = root.rstrip("/")
        if not root.partition("://")[2].strip("/"):
            raise UserError(
                f"data.root={root} names no place in the store: name its bucket or host."
            )

    def address(self, name: str) -> str:
        """Return the address of a file, by its path from the root."""
        return f"{self.root}/{name}"

    def read(self, name: str, start: int | None = None, end: int | None = None) -> bytes | None:
        """Return a file's bytes from `start` to before `end`; None: the store has no such file.

        A server that gives no parts of files returns the whole one.

        Raises:
            UserError: if the store cannot be reached, after three tries.
        """
        return self._try(name, lambda system, path: system.cat_file(path, start=start, end=end))

    def copy(self, name: str, place: Path) -> bool:
        """Write a file to `place`, piece by piece; return whether the store has such a file.

        Raises:
            UserError: see `read`; OSError: if this machine's disk is full.
        """
        found = self._try(name, lambda system, path: system.get_file(path, str(place)) or True)
        return found is not None

    def _try(self, name: str, work: Callable) -> Any:
        """Return work(file system, path); None where there is no such file."""
        address = self.address(name)
        for pause in (*PAUSES, None):
            try:
                return work(*_open(address))
            except FileNotFoundError:
                return None
            except UserError:
                raise
            except Exception as error:  # each store has errors of its own
                if isinstance(error, OSError) and error.errno in DISK:
                    raise
                if getattr(error, "status", None) == NO_SUCH_PART:
                    return None
                if pause is None:
                    said = str(error).splitlines()
                    reason = said[0][:200] if said and said[0] else type(error).__name__
                    raise UserError(
                        f"{address} cannot be read ({reason}): see that the store can be reached "
                        f"from this machine and lets you read there, or correct data.root."
                    ) from error
                log.warning(f"{address}: {type(error).__name__}; trying again.")
                time.sleep(pause)


def _open(address: str) -> tuple[Any, str]:
    """Return fsspec's file system, and the path there, of an address."""
    protocol, options = address.partition("://")[0], {}
    try:
        import fsspec

        if protocol in ("http", "https"):
            import aiohttp

            waits = {"sock_connect": CONNECT_SECONDS, "sock_read": SILENT_SECONDS}
            limit = aiohttp.ClientTimeout(total=None, **waits)
            options = {"client_kwargs": {"timeout": limit}}
        return fsspec.core.url_to_fs(address, **options)
    except ImportError as error:
        raise UserError(
            f"{address}: {protocol}:// is read by a package that is not installed "
            f"({str(error).splitlines()[0][:120]}): pip install {_packages(protocol)}."
        ) from error
    except ValueError as error:
        raise UserError(
            f"{address}: {str(error)[:120]}: name a store that fsspec knows."
        ) from error


def _packages(protocol: str) -> str:
    """Return what pip installs for a protocol that fsspec knows."""
    shards = "'landmarks[shards]'"
    try:
        from fsspec.registry import known_implementations
    except ImportError:
        return shards
    module = known_implementations.get(protocol, {}).get("class", "fsspec").partition(".")[0]
    return shards if module == "fsspec" else f"{shards} {module}"


try:
    import fcntl
except ImportError:  # Windows: two processes may fetch a shard at once, and keep one of them
    fcntl = None


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
