"""The order in which faces are taken from shards: near ones of a shard soon after one another."""

import math
from typing import NamedTuple

import numpy as np


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
