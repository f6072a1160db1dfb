"""The order of faces in shards: whole, mixed, few shards at a time, and each rank its own."""

import numpy as np
import pytest

from landmarks.data.batches.batch_order import BatchOrder
from landmarks.data.shards.shard_images import Packed, ShardOrder

SHARDS, EACH, BATCH = 64, 20, 16
ROWS = np.arange(SHARDS * EACH)
SHARD = ROWS // EACH


def order_of(streams=8, window=2.0, rows=ROWS, batch_size=BATCH, seed=1, shared=True):
    nothing = np.zeros(len(ROWS), int)
    packed = Packed("", [""] * SHARDS, SHARD, *[nothing] * 3, ShardOrder(streams, window))
    return BatchOrder(rows, batch_size, seed, shared=shared, packed=packed)


def be_rank(monkeypatch, rank, world):
    told = {"RANK": rank, "WORLD_SIZE": world, "LOCAL_RANK": rank, "MASTER_PORT": 1}
    for name, value in {**told, "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, str(value))


def near_pairs(batches):
    """Return how many pairs of a batch's faces lie within a shard's length of one another."""
    batches = np.stack(batches)
    away = np.abs(batches[:, :, None] - batches[:, None])
    return ((away < EACH).sum() - batches.size) / 2


@pytest.mark.parametrize("streams", [1, 3, 8, 16])
@pytest.mark.parametrize("window", [0, 0.5, 4])
def test_an_epoch_shows_each_face_once_in_an_order_of_its_own(streams, window):
    order = order_of(streams, window)
    first, second = (np.concatenate(order.batch_rows(epoch)) for epoch in (0, 1))
    assert np.array_equal(np.sort(first), ROWS) and np.array_equal(np.sort(second), ROWS)
    assert (first == second).mean() < 0.1
    assert np.array_equal(first, np.concatenate(order_of(streams, window).batch_rows(0)))


@pytest.mark.parametrize("rows", [ROWS[:1231], ROWS[::3], ROWS[5:6], ROWS[200:215]])
def test_what_does_not_fill_a_batch_is_left_out_and_others_are_shown_once(rows):
    batches = order_of(rows=rows).batch_rows(0)
    size = min(BATCH, len(rows))
    assert [len(batch) for batch in batches] == [size] * (len(rows) // size)
    shown = np.concatenate(batches)
    assert len(np.unique(shown)) == len(shown) and np.isin(shown, rows).all()


@pytest.mark.parametrize(("streams", "window"), [(1, 0.0), (4, 1.0), (8, 2.0)])
def test_few_shards_are_in_use_at_a_time(streams, window):
    order = order_of(streams, window)
    batches = [SHARD[rows] for rows in order.batch_rows(0)]
    spans = []
    for shard in range(SHARDS):
        used = [i for i, shards in enumerate(batches) if shard in shards]
        spans.append((used[0], used[-1]))
    at_once = max(sum(a <= i <= b for a, b in spans) for i in range(len(batches)))
    assert streams < at_once <= order.packed.order.shards_at_once() < SHARDS


def test_a_batch_is_mixed_nearly_as_well_as_by_a_shuffle_of_all():
    plain = near_pairs(BatchOrder(ROWS, BATCH, 1).batch_rows(0))
    assert near_pairs(order_of(8, 4.0).batch_rows(0)) < 2 * plain
    assert near_pairs(order_of(1, 0.0).batch_rows(0)) > 10 * plain  # what the measure tells


@pytest.mark.parametrize("world", [2, 4, 8])
def test_ranks_take_shards_of_their_own_and_batches_do_not_depend_on_them(monkeypatch, world):
    alone = [set(rows.tolist()) for rows in order_of().own_rows()]
    together, shards = [set() for _ in alone], []
    for rank in range(world):
        be_rank(monkeypatch, rank, world)
        own = order_of().own_rows()
        shards.append(set(SHARD[np.concatenate(own)].tolist()))
        together = [batch | set(rows.tolist()) for batch, rows in zip(together, own, strict=True)]
    assert together == alone
    assert sum(map(len, shards)) == SHARDS == len(set.union(*shards))


def test_where_streams_end_within_a_shard_neighbours_share_that_one_alone(monkeypatch):
    rows, shards = ROWS[: 51 * EACH + 7], []
    for rank in range(2):
        be_rank(monkeypatch, rank, 2)
        shards.append(set(SHARD[np.concatenate(order_of(rows=rows).own_rows())].tolist()))
    assert len(shards[0] & shards[1]) <= 1


@pytest.mark.parametrize("count", [1, 15, 16, 17, 640, 1279])
def test_faces_that_are_validated_on_are_all_there_and_parted_by_shards(monkeypatch, count):
    rows = ROWS[:count]
    order = order_of(rows=rows, seed=None)
    batches = order.batch_rows(0)
    assert len(batches) == len(order)
    assert np.array_equal(np.sort(np.concatenate(batches)), rows)
    shards = []
    for rank in range(2):
        be_rank(monkeypatch, rank, 2)
        full = [own for own, whole in zip(order.own_rows(), batches, strict=False)][:-1]
        shards.append(set(SHARD[np.concatenate(full)].tolist()) if full else set())
    assert len(shards[0] & shards[1]) <= 1


def test_faces_in_order_stay_in_order_where_no_ranks_share_them():
    batches = order_of(seed=None, shared=False).batch_rows(0)
    assert np.array_equal(np.concatenate(batches), ROWS)


def test_weighted_faces_are_drawn_as_often_as_they_weigh():
    weights = np.where(ROWS < 200, 2.0, 0.5)
    nothing = np.zeros(len(ROWS), int)
    packed = Packed("", [""] * SHARDS, SHARD, *[nothing] * 3, ShardOrder(4, 2))
    order = BatchOrder(ROWS, 10, 1, weights, packed=packed)
    shown = np.concatenate(order.batch_rows(0))
    assert len(shown) == order.count == 940
    assert (np.bincount(shown)[:200] == 2).all() and np.bincount(shown)[200:].max() == 1
