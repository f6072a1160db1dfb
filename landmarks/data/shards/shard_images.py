"""Where the images of a pack lie in its shards, and how their bytes are read from there.

A shard is a tar file, and an image in it a range of bytes. In a folder of this machine it is read
from its place. Of a store, whole shards are fetched ahead of their use into a folder of bounded
size, their room; an image whose shard does not lie there is read from the store by itself.
"""

import math
import os
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from landmarks.data.caches.pickled_maps import remap, unmap
from landmarks.data.shards.shard_store import ShardRoom

AHEAD = 4  # shards that are fetched before they are asked for


class ShardOrder(NamedTuple):
    """A shuffle that needs few shards at a time, and leaves each rank its own.

    An epoch's shards are shuffled and parted among `streams`, of which every batch takes as many
    faces from each; a face of a stream moves back by up to `window` shards. It depends on neither
    the number of ranks nor the place of the shards. A rank takes a run of each batch, and so whole
    streams where their number divides by that of the ranks.

    Args:
        streams: at most so many; of batches that do not divide by it, their largest common divisor.
        window: shards, of usual size.
    """

    streams: int
    window: float

    def shards_at_once(self) -> int:
        """Return how many shards are in use at any time, at most."""
        return self.streams * (math.ceil(self.window) + 2)

    def mix(
        self, rows: np.ndarray, shard: np.ndarray, batch_size: int, random: np.random.Generator
    ) -> np.ndarray:
        """Return an epoch's rows, batch after batch; what does not fill a batch is left out.

        Args:
            rows, shard: (n,) the faces, and which shard each lies in.
        """
        each, of_row = np.unique(shard, return_inverse=True)
        rows = rows[np.argsort(random.permutation(len(each))[of_row], kind="stable")]
        streams = math.gcd(self.streams, batch_size)
        taken = rows[: len(rows) // batch_size * batch_size].reshape(streams, -1)
        back = random.random(taken.shape) * (self.window * len(rows) / len(each))
        order = np.argsort(np.arange(taken.shape[1]) + back, axis=1)
        mixed = np.take_along_axis(taken, order, axis=1)
        return mixed.reshape(streams, -1, batch_size // streams).swapaxes(0, 1).reshape(-1)

    def spread(self, rows: np.ndarray, batch_size: int) -> np.ndarray:
        """Return rows (n,) that stand in order, so that every batch takes some of each stream."""
        streams = math.gcd(self.streams, batch_size)
        parts, each = np.array_split(rows, streams), batch_size // streams
        full = len(parts[-1]) // each * each
        taken = np.stack([part[:full] for part in parts]).reshape(streams, -1, each)
        return np.concatenate([taken.swapaxes(0, 1).reshape(-1), *(part[full:] for part in parts)])


class PackedImage(str):
    """An image's place, as text for messages, from which its bytes are read."""

    packed: "Packed"
    row: int

    def read(self) -> bytes | None:
        """Return the image's bytes; None where they are damaged or missing."""
        return self.packed.read(self.row)

    def stamp(self) -> tuple[int, int, int]:
        """Return what changes with the image's content."""
        packed, row = self.packed, self.row
        return int(packed.length[row]), int(packed.check[row]), packed.changed(row)


@dataclass(frozen=True, eq=False)
class Packed:
    """The images of N faces in S shards.

    Args:
        root: the pack's part, a folder or a store's address.
        shards: S file names.
        shard, start, length: (N,) which shard each face's image lies in, and which bytes of it.
        check: (N,) uint32, CRC-32 of these bytes.
        order: how training mixes them.
        room: where shards of a store are kept; None: `root` is a folder.
    """

    root: str
    shards: list[str]
    shard: np.ndarray
    start: np.ndarray
    length: np.ndarray
    check: np.ndarray
    order: ShardOrder
    room: ShardRoom | None = None
    locks: dict[int, threading.Lock] = field(default_factory=dict, init=False, repr=False)
    times: dict[int, int] = field(default_factory=dict, init=False, repr=False)

    def take(self, rows: slice | np.ndarray) -> "Packed":
        """Return the places of some of the faces, in this order."""
        places = {key: getattr(self, key)[rows] for key in ("shard", "start", "length", "check")}
        return replace(self, **places)

    def shard_of(self, row: int) -> str:
        """Return the file name of the shard that a face's image lies in."""
        return self.shards[self.shard[row]]

    def shard_path(self, row: int) -> str:
        """Return where that shard lies, as text."""
        return f"{self.root.rstrip('/')}/{self.shard_of(row)}"

    def changed(self, row: int) -> int:
        """Return when the shard of a face's image last changed; 0: it is not there, or in a store.

        So an image that was damaged in its shard is read again, as one in a file of its own is.
        """
        shard = int(self.shard[row])
        if shard not in self.times:
            self.times[shard] = 0
            with suppress(OSError):
                if self.room is None:
                    self.times[shard] = os.stat(self.shard_path(row)).st_ctime_ns  # noqa: PTH116
        return self.times[shard]

    def place(self, row: int, name: str) -> PackedImage:
        """Return where a face's image lies, which had this file name."""
        place = PackedImage(f"{self.shard_path(row)}: {name}")
        place.packed, place.row = self, row
        return place

    def read(self, row: int) -> bytes | None:
        """Return the bytes of a face's image; None where they are damaged or missing.

        Raises:
            UserError: if the store cannot be reached.
        """
        shard, start, length = (int(a[row]) for a in (self.shard, self.start, self.length))
        if self.room is None:
            data = _read_part(self.shard_path(row), start, length)
        else:
            data = self.room.read(self.shards[shard], start, length, shard)
        if data is not None and len(data) == length and zlib.crc32(data) == self.check[row]:
            return data
        if self.room is not None:
            self.room.doubt(self.shards[shard])
        return None

    def bring(self, rows: np.ndarray) -> None:
        """Fetch the shards of these faces (n,) from the store, where they do not lie here yet.

        Raises:
            UserError: if the store cannot be reached, or the disk is full.
        """
        if self.room is not None:
            for shard in np.unique(self.shard[rows]).tolist():
                self._fetch(shard)

    def bring_ahead(self, batches: list[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the rows of each batch once their shards lie here, and fetch the next ones."""
        if self.room is None:
            yield from batches
            return
        needed = [np.unique(self.shard[rows]).tolist() for rows in batches]
        coming = list(dict.fromkeys(shard for some in needed for shard in some))
        fetched: dict[int, Future] = {}
        seen: set[int] = set()
        pool = ThreadPoolExecutor(AHEAD)
        try:
            for rows, some in zip(batches, needed, strict=True):
                seen.update(some)
                for shard in coming[len(fetched) : len(seen) + AHEAD]:
                    fetched[shard] = pool.submit(self._fetch, shard)
                for shard in some:
                    fetched[shard].result()
                yield rows
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _fetch(self, shard: int) -> None:
        with self.locks.setdefault(shard, threading.Lock()):  # threads of this process
            self.room.fetch(self.shards[shard], shard)

    def __getstate__(self) -> dict:
        own = ("locks", "times")
        return {key: unmap(value) for key, value in vars(self).items() if key not in own}

    def __setstate__(self, state: dict) -> None:
        vars(self).update({key: remap(value) for key, value in state.items()}, locks={}, times={})


def _read_part(path: str, start: int, length: int) -> bytes | None:
    """Return these bytes of a file, fewer where it ends before; None where it cannot be read."""
    with suppress(OSError), open(path, "rb", buffering=0) as file:  # noqa: PTH123 (once a face)
        file.seek(start)
        return file.read(length)
    return None
