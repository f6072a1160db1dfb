"""Stores with and without parts of files; damage is named, and one that cannot be reached ends in a
sentence."""

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
from landmarks.data.packs.shard_disk_cache import ShardRoom

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
