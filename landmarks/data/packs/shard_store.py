"""Files of a store that fsspec opens: HTTP, S3, Google Cloud, Azure, Hugging Face and others.

Only what names a protocol (`http://`, `s3://`) comes here; other places are folders.
"""

import errno
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from landmarks.errors import UserError

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
