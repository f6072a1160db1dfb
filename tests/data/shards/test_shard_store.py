"""Stores with and without parts of files; damage is named, and one that cannot be reached ends in a
sentence."""

import errno
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from made_packs import batches_of, check_equal, damage
from refusals import refused

from landmarks.data.batches.worker_processes import end_readers
from landmarks.data.formats.shards import read_faces
from landmarks.data.shards.shard_images import AHEAD
from landmarks.data.shards.shard_store import ShardRoom

fsspec = pytest.importorskip("fsspec")
pytestmark = pytest.mark.usefixtures("hasty")


@pytest.fixture
def served(packed):
    """The address of the pack on a server that gives whole files alone, and what was asked for."""
    pytest.importorskip("aiohttp")
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, form, *words):
            asked.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(packed)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_store_holds_what_was_packed(in_memory, unpacked, part):
    check_equal(read_faces(in_memory[0], part=part), unpacked[part])


def test_a_server_that_gives_whole_files_alone_is_asked_once_for_each(served, unpacked):
    address, asked = served
    check_equal(read_faces(address), unpacked["train"])
    shards = [path for path in asked if path.endswith(".tar")]
    assert len(shards) == len(set(shards)) > 1


@pytest.mark.parametrize("how", ["a bit", "cut off", "missing"])
@pytest.mark.parametrize("kind", ["folder", "store"])
def test_damage_names_shard_and_image_and_is_passed_over_when_asked(packed, in_memory, how, kind):
    address = str(packed) if kind == "folder" else in_memory[0]
    system = fsspec.filesystem("file" if kind == "folder" else "memory")
    faces = read_faces(address)
    shard = damage(system, address, faces.packed, 9, how)
    lost = {row for row in range(24) if faces.packed.read(row) is None}
    of_shard = set(np.flatnonzero(faces.packed.shard == faces.packed.shard[9]).tolist())
    assert 9 in lost and lost <= of_shard and (lost == {9} or how != "a bit")
    with refused(shard) as told:
        list(batches_of(faces))
    assert any(faces.name(row) in str(told.value) for row in lost)
    shown = list(batches_of(faces, on_error="skip"))
    readable = {
        r for b in shown for r, good in zip(b.rows.tolist(), b.readable, strict=True) if good
    }
    assert readable == set(range(24)) - lost


@pytest.mark.parametrize(
    "root", ["http://127.0.0.1:9", "nosuch://place", "memory://nothing/there", "nothing"]
)
def test_a_store_that_is_not_there_ends_in_a_sentence(root):
    with refused(root):
        read_faces(root)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_store_that_goes_away_ends_in_a_sentence(in_memory, monkeypatch, workers):
    faces = read_faces(in_memory[0])

    def refuse(*arguments, **named):
        raise ConnectionResetError("gone\naway")

    def check():
        batches = batches_of(faces, workers=workers, on_error="skip")
        with refused("gone"):
            list(batches)
        end_readers(batches.readers)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(in_memory[1]), "get_file", refuse)
        check()
    monkeypatch.setattr(ShardRoom, "fetch", lambda *_: None)  # images are read one by one
    monkeypatch.setattr(type(in_memory[1]), "cat_file", refuse)
    check()


@pytest.mark.parametrize(
    ("protocol", "package"), [("s3", "s3fs"), ("gs", "gcsfs"), ("abfs", "adlfs")]
)
def test_the_package_of_a_store_is_named(protocol, package, monkeypatch):
    def refuse(address, **options):
        raise ImportError("Install it")

    monkeypatch.setattr(fsspec.core, "url_to_fs", refuse)
    with refused(f"pip install 'landmarks[shards]' {package}"):
        read_faces(f"{protocol}://bucket/faces")


@pytest.mark.parametrize("root", ["s3://", "https:///"])
def test_an_address_without_a_place_is_refused(root):
    with refused(f"data.root={root}"):
        read_faces(root)


@pytest.mark.parametrize("missing", ["fsspec", "aiohttp"])
def test_a_package_that_is_lacking_is_named(missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with refused("pip install 'landmarks[shards]'"):
        read_faces("https://127.0.0.1:9/faces")


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
