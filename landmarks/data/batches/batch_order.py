"""Which rows each batch of an epoch holds: in order, or shuffled, each rank's part of them."""

from collections.abc import Iterator

import numpy as np

from landmarks.data.shards.shard_images import Packed
from landmarks.distributed import processes
from landmarks.distributed.deal_work import deal
from landmarks.errors import UserError


class BatchOrder:
    """Rows batch by batch; shuffled anew each epoch from the seed alone, so that it can resume.

    Args:
        rows: (n,) of the data set.
        batch_size: faces a batch.
        seed: of the shuffle; None: in order, and the last batch may be smaller. A shuffled epoch
            leaves out the faces that do not fill a batch (other ones each time): batch
            normalisation fails on a batch of one.
        weights: (n,) how often a shuffled epoch shows each face; what is left of a whole number is
            drawn anew each epoch. None: once.
        shared: an iteration yields this rank's part of each batch, where it has one.
        dealt: an iteration yields this rank's batches, whole, of all that are dealt out.
        packed: where the images lie in shards; the order then is `ShardOrder`'s. None: they do not.
        brings: an iteration fetches the shards that its batches need.
    """

    def __init__(
        self,
        rows: np.ndarray,
        batch_size: int,
        seed: int | None,
        weights: np.ndarray | None = None,
        shared: bool = False,
        dealt: bool = False,
        packed: Packed | None = None,
        brings: bool = False,
    ):
        self.rows, self.seed, self.weights = rows, seed, weights
        self.shared, self.dealt = shared, dealt
        self.packed, self.brings = packed, brings
        self.failed: UserError | None = None  # why the last iteration ended early
        self.count = len(rows) if weights is None else max(1, round(float(weights.sum())))
        self.batch_size = min(batch_size, self.count)
        self.epoch, self.first_batch = 0, 0

    def __len__(self) -> int:
        """Batches in a whole epoch."""
        if self.seed is None:
            return -(-len(self.rows) // self.batch_size)
        return self.count // self.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        batches = self.own_rows()
        self.failed = None
        try:
            for rows in self.packed.bring_ahead(batches) if self.brings else batches:
                yield rows.tolist()
        except UserError as error:  # torch would leave its worker processes half-started
            self.failed = error

    def own_rows(self) -> list[np.ndarray]:
        """Return the rows of each batch that the coming iteration yields."""
        batches = self.batch_rows(self.epoch)[self.first_batch :]
        if self.dealt:
            return deal(batches)
        if not self.shared:
            return batches
        return [rows for rows in map(processes.part_of, batches) if len(rows)]

    def batch_rows(self, epoch: int) -> list[np.ndarray]:
        """Return the rows of each batch of an epoch."""
        rows = self.rows
        if self.seed is not None:
            rows = self._draw(np.random.default_rng([self.seed, epoch]))
        elif self.packed is not None and self.shared:
            rows = self.packed.order.spread(rows, self.batch_size)
        return [rows[i * self.batch_size :][: self.batch_size] for i in range(len(self))]

    def _draw(self, random: np.random.Generator) -> np.ndarray:
        """Return an epoch's rows, shuffled: each as often as its weight, rounded up or down."""
        rows = self.rows if self.weights is None else self._draw_weighted(random)
        if self.packed is None:
            return random.permutation(rows)
        return self.packed.order.mix(rows, self.packed.shard[rows], self.batch_size, random)

    def _draw_weighted(self, random: np.random.Generator) -> np.ndarray:
        order = random.permutation(len(self.rows))
        ends = np.cumsum(self.weights[order])
        places = (np.arange(self.count) + random.random()) * (ends[-1] / self.count)
        drawn = order[np.searchsorted(ends, places, side="right").clip(max=len(order) - 1)]
        return self.rows[drawn]
