"""The room for shards: fetched when they are needed, let go when there is no room."""

import errno

import numpy as np
import pytest
from made_packs import batches_of, damage
from refusals import refused

from landmarks.data.formats.shards import read_faces
from landmarks.data.packs.packed_images import AHEAD
from landmarks.data.packs.shard_disk_cache import ShardRoom

fsspec = pytest.importorskip("fsspec")
pytestmark = pytest.mark.usefixtures("hasty")


def test_a_rank_fetches_its_own_shards_alone(in_memory, tmp_path, monkeypatch):
    fetched = {}
    for rank in range(2):
        told = {"RANK": rank, "WORLD_SIZE": 2, "LOCAL_RANK": rank, "MASTER_PORT": 1}
        for name, value in {**told, "MASTER_ADDR": "localhost"}.items():
            monkeypatch.setenv(name, str(value))
        faces = read_faces(in_memory[0], cache_dir=str(tmp_path / f"cache{rank}"))
        for batch in batches_of(faces, shared=True):
            assert len(batch.rows) == 2
        fetched[rank] = {path.name for path in faces.packed.room.folder.glob("*.tar")}
    assert min(map(len, fetched.values())) > 2 and len(fetched[0] & fetched[1]) <= 1
    assert fetched[0] | fetched[1] == set(faces.packed.shards)


def size_of(path):
    try:
        return path.stat().st_size
    except FileNotFoundError:  # another thread has renamed what it wrote aside
        return 0


def test_the_room_never_holds_more_than_it_may(in_memory, monkeypatch):
    faces = read_faces(in_memory[0], streams=2, window=0)
    room, original = faces.packed.room, ShardRoom.fetch
    largest, held = max(room.sizes), []
    monkeypatch.setattr(room, "kept", 3 * largest)

    def fetch(self, name, shard):
        original(self, name, shard)
        held.append(sum(map(size_of, self.folder.glob("*.tar"))))

    monkeypatch.setattr(ShardRoom, "fetch", fetch)
    batches = batches_of(faces, batch_size=2)
    assert sum(len(batch.rows) for batch in batches) == 24
    assert len(held) == len(faces.packed.shards) > 8 and max(held) <= (3 + AHEAD) * largest
    gone = next(
        n for n, name in enumerate(faces.packed.shards) if not (room.folder / name).exists()
    )
    faces.packed.bring(np.flatnonzero(faces.packed.shard == gone))  # with no other on its way
    assert held[-1] <= 3 * largest


def test_a_room_too_small_for_training_is_refused(in_memory):
    with refused("data.room_gb=1e-05"):
        read_faces(in_memory[0], room_gb=0.00001)
    read_faces(in_memory[0], room_gb=0.00001, part="test")


def test_a_full_disk_is_said_of_the_room(in_memory, monkeypatch):
    faces = read_faces(in_memory[0])

    def fill(*arguments, **named):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(in_memory[1]), "get_file", fill)
    with refused("data.room_gb"):
        faces.packed.bring(np.arange(3))
    assert not list(faces.packed.room.folder.glob("*.tar"))


def test_a_shard_that_is_damaged_here_alone_is_fetched_anew(in_memory):
    faces = read_faces(in_memory[0])
    faces.packed.bring(np.arange(24))
    here = str(faces.packed.room.folder)
    damage(fsspec.filesystem("file"), here, faces.packed, 9, "a bit")
    assert faces.packed.read(9) is None  # which is told, and the shard is let go
    faces.packed.bring(np.arange(24))
    assert faces.packed.read(9) is not None
