"""Packs: what comes out of shards is what went in, from a folder, a store with and without parts of
files; damage is named, and a store that cannot be reached ends in a sentence."""

import errno
import pickle
import sys
import tarfile
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from landmarks.data import shard_store, write_pack
from landmarks.data.cropped import CroppedFaces
from landmarks.data.decoding import read_bytes, read_image
from landmarks.data.faces import Asked
from landmarks.data.find_format import find_format
from landmarks.data.formats import several, thousand
from landmarks.data.formats.shards import read_faces
from landmarks.data.loader import Batches
from landmarks.data.shard_room import ShardRoom
from landmarks.data.worker_processes import end_readers
from landmarks.errors import UserError

fsspec = pytest.importorskip("fsspec")
SMALL = 4000  # bytes of a shard: an image or two


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """Try again at once."""
    monkeypatch.setattr(shard_store, "PAUSES", (0, 0))


@pytest.fixture
def made(contest):
    return contest(train=24)


@pytest.fixture
def source(made):
    return {part: thousand.read_faces(str(made.root), part=part) for part in ("train", "test")}


@pytest.fixture
def packed(source, tmp_path):
    """A folder with a pack of small shards."""
    write_pack.write_pack(source, tmp_path / "pack", SMALL)
    return tmp_path / "pack"


@pytest.fixture
def in_memory(packed, tmp_path):
    """The address of the pack in a store that gives parts of files, and its file system."""
    place, system = f"/{tmp_path.name.strip('[]')}", fsspec.filesystem("memory")
    system.put(str(packed), place, recursive=True)
    yield f"memory:/{place}", system
    system.rm(place, recursive=True)


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


def batches_of(faces, **settings):
    rows, source = faces.usable, CroppedFaces(faces, "letterbox", 32)
    return Batches(source, rows, **{"batch_size": 4, "seed": 1, **settings})


def check_equal(faces, source, rows=None):
    rows = source.usable if rows is None else rows
    assert faces.names.tolist() == source.names[rows].tolist()
    for key in ("points", "boxes", "visible", "wanted", "sets", "flip"):
        mine, theirs = getattr(faces, key), getattr(source, key)
        assert (mine is None) == (theirs is None), key
        if mine is not None:
            wanted = theirs if key == "flip" else np.asarray(theirs)[rows]
            assert mine.dtype == wanted.dtype and np.array_equal(mine, wanted, equal_nan=True)
    assert (faces.exif, faces.scored_to) == (source.exif, source.scored_to)
    assert list(faces.point_names) == list(source.point_names)
    assert list(faces.weights) == list(source.weights)
    for row, before in enumerate(rows):
        assert read_bytes(faces.path(row)) == Path(source.path(before)).read_bytes()


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_folder_holds_what_was_packed(packed, source, part):
    faces = read_faces(str(packed), part=part)
    assert len(faces.packed.shards) > 1
    check_equal(faces, source[part])
    assert find_format(packed).name == "shards"


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_store_holds_what_was_packed(in_memory, source, part):
    check_equal(read_faces(in_memory[0], part=part), source[part])


def test_a_server_that_gives_whole_files_alone_is_asked_once_for_each(served, source):
    address, asked = served
    check_equal(read_faces(address), source["train"])
    shards = [path for path in asked if path.endswith(".tar")]
    assert len(shards) == len(set(shards)) > 1


def test_all_that_faces_may_have_is_kept_and_unusable_ones_are_left_out(source, tmp_path):
    train, test = source["train"], source["test"]
    count, points = train.points.shape[:2]
    rng = np.random.default_rng(0)
    names = train.names.copy()
    names[5] = names[2]  # two faces in an image
    train = replace(
        train,
        names=names,
        boxes=rng.random((count, 4), np.float32),
        visible=rng.integers(0, 3, (count, points)).astype(np.uint8),
        sets=rng.integers(0, 2, count).astype(np.uint8),
        weights=(1.0, 2.5),
        flip=np.arange(points)[::-1].copy(),
        point_names=[f"p{i}" for i in range(points)],
        scored_to=96.0,
        exif="rotate",
        rows=np.delete(np.arange(count), [0, 7]),
    )
    asked = Asked("here", *(rng.integers(0, 3, 4) for _ in range(3)))
    test = replace(test, wanted=None, asked=asked)
    out = tmp_path / "pack"
    note = write_pack.write_pack({"train": train, "test": test}, out, SMALL)
    assert note["parts"]["train"]["images"] == len(train.rows) - 1
    faces = read_faces(str(out))
    check_equal(faces, train)
    assert len(set(zip(faces.packed.shard, faces.packed.start, strict=True))) == len(faces) - 1
    found = read_faces(str(out), part="test").asked
    for key in ("rows", "faces", "places"):
        assert np.array_equal(getattr(found, key), getattr(asked, key))
    few = read_faces(str(out), limit=3)
    check_equal(few, train, train.rows[:3])


def test_webdataset_reads_the_shards(packed, source):
    webdataset = pytest.importorskip("webdataset")
    shards = sorted(map(str, packed.glob("train-*.tar")))
    found = list(webdataset.WebDataset(shards, shardshuffle=False, empty_check=False).decode())
    train = source["train"]
    assert [str(face["npz"]["name"]) for face in found] == [train.name(i) for i in range(24)]
    for row, face in enumerate(found):
        assert np.array_equal(face["npz"]["points"], train.points[row : row + 1], equal_nan=True)
    again = webdataset.WebDataset(shards, shardshuffle=False, empty_check=False)
    assert [face["jpg"] for face in again] == [read_bytes(train.path(row)) for row in range(24)]


def test_batches_are_those_of_plain_files_in_another_order(packed, source):
    faces, plain = read_faces(str(packed)), CroppedFaces(source["train"], "letterbox", 32)
    for batch in batches_of(faces):
        wanted = plain.__getitems__(batch.rows.tolist())
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(batch, wanted, strict=True))


def test_worker_processes_read_shards_as_this_one_does(in_memory):
    faces = read_faces(in_memory[0])
    in_worker = batches_of(faces, workers=1)
    one, other = list(batches_of(faces)), list(in_worker)
    end_readers(in_worker.readers)
    assert [batch.rows.tolist() for batch in one] == [batch.rows.tolist() for batch in other]
    assert all(np.array_equal(a.images, b.images) for a, b in zip(one, other, strict=True))
    assert pickle.loads(pickle.dumps(faces)).packed.read(3) == faces.packed.read(3)


@pytest.mark.parametrize("first", [1, 3])
def test_an_epoch_goes_on_from_any_batch(in_memory, first):
    whole = batches_of(read_faces(in_memory[0]))
    rest = batches_of(read_faces(in_memory[0]))
    whole.start_at(2)
    rest.start_at(2, first)
    for before, after in zip(list(whole)[first:], rest, strict=True):
        assert before.rows.tolist() == after.rows.tolist()
        assert np.array_equal(before.images, after.images)


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


def test_the_room_never_holds_more_than_it_may(in_memory, monkeypatch):
    faces = read_faces(in_memory[0], streams=2, window=0)
    room, original = faces.packed.room, ShardRoom.fetch
    largest, held = max(room.sizes), []
    monkeypatch.setattr(room, "kept", 3 * largest)

    def fetch(self, name, shard):
        original(self, name, shard)
        held.append(sum(path.stat().st_size for path in self.folder.glob("*.tar")))

    monkeypatch.setattr(ShardRoom, "fetch", fetch)
    batches = batches_of(faces, batch_size=2)
    assert sum(len(batch.rows) for batch in batches) == 24
    assert len(held) == len(faces.packed.shards) > 8 and max(held) <= (3 + 4) * largest
    assert held[-1] <= 4 * largest


def test_a_room_too_small_for_training_is_refused(in_memory):
    with pytest.raises(UserError, match="room_gb"):
        read_faces(in_memory[0], room_gb=0.00001)
    read_faces(in_memory[0], room_gb=0.00001, part="test")


def damage(system, address, packed, row, how):
    """Damage the shard that holds a face; return its name."""
    shard = packed.shard_of(row)
    path = f"{address}/{shard}"
    if how == "missing":
        system.rm(path)
        return shard
    content = bytearray(system.cat(path))
    at = int(packed.start[row])
    content[at + 20] ^= 255
    system.pipe(path, bytes(content) if how == "a bit" else bytes(content[: at + 9]))
    return shard


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
    with pytest.raises(UserError) as refused:
        list(batches_of(faces))
    assert f"in {shard}" in str(refused.value)
    assert any(faces.name(row) in str(refused.value) for row in lost)
    shown = list(batches_of(faces, on_error="skip"))
    readable = {
        r for b in shown for r, good in zip(b.rows.tolist(), b.readable, strict=True) if good
    }
    assert readable == set(range(24)) - lost


def test_a_shard_that_is_damaged_here_alone_is_fetched_anew(in_memory):
    faces = read_faces(in_memory[0])
    faces.packed.bring(np.arange(24))
    here = str(faces.packed.room.folder)
    damage(fsspec.filesystem("file"), here, faces.packed, 9, "a bit")
    assert faces.packed.read(9) is None  # which is told, and the shard is let go
    faces.packed.bring(np.arange(24))
    assert faces.packed.read(9) is not None


@pytest.mark.parametrize(
    ("root", "words"),
    [
        ("http://127.0.0.1:9", "cannot be read"),
        ("nosuch://place", "nosuch"),
        ("memory://nothing/there", "pack.json"),
        ("nothing", "pack.json"),
    ],
)
def test_a_store_that_is_not_there_ends_in_a_sentence(root, words):
    with pytest.raises(UserError, match=words) as refused:
        read_faces(root)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_store_that_goes_away_ends_in_a_sentence(in_memory, monkeypatch, workers):
    faces = read_faces(in_memory[0])

    def refuse(*arguments, **named):
        raise ConnectionResetError("gone\naway")

    def check():
        batches = batches_of(faces, workers=workers, on_error="skip")
        with pytest.raises(UserError, match="gone") as refused:
            list(batches)
        assert "\n" not in str(refused.value)
        end_readers(batches.readers)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(in_memory[1]), "get_file", refuse)
        check()
    monkeypatch.setattr(ShardRoom, "fetch", lambda *_: None)  # images are read one by one
    monkeypatch.setattr(type(in_memory[1]), "cat_file", refuse)
    check()


def test_a_full_disk_is_said_of_the_room(in_memory, monkeypatch):
    faces = read_faces(in_memory[0])

    def fill(*arguments, **named):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(in_memory[1]), "get_file", fill)
    with pytest.raises(UserError, match="room_gb"):
        faces.packed.bring(np.arange(3))
    assert not list(faces.packed.room.folder.glob("*.tar"))


@pytest.mark.parametrize("missing", ["fsspec", "aiohttp"])
def test_a_package_that_is_lacking_is_named(missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UserError, match=r"pip install 'landmarks\[shards\]'"):
        read_faces("https://127.0.0.1:9/faces")


def spoil(path, find, put):
    content = path.read_text()
    assert find in content
    path.write_text(content.replace(find, put))


@pytest.mark.parametrize(
    "how",
    [
        lambda pack: (pack / "pack.json").write_text("{"),
        lambda pack: (pack / "pack.json").write_text("[1]"),
        lambda pack: spoil(pack / "pack.json", '"version": 1', '"version": 9'),
        lambda pack: spoil(pack / "pack.json", '"train"', '"other"'),
        lambda pack: spoil(pack / "pack.json", '"sizes"', '"other"'),
        lambda pack: spoil(pack / "pack.json", '"length"', '"other"'),
        lambda pack: (pack / "train/points.npy").unlink(),
        lambda pack: (pack / "train/names.npy").write_bytes(b"\x93NUMPY"),
        lambda pack: (pack / "train/points.npy").write_bytes(
            (pack / "train/points.npy").read_bytes()[:-8]
        ),
        lambda pack: np.save(pack / "train/points.npy", np.zeros((24, 5, 2))),
        lambda pack: np.save(pack / "train/shard.npy", np.array([None]), allow_pickle=True),
    ],
)
def test_a_damaged_index_is_refused_in_a_sentence(packed, how):
    how(packed)
    with pytest.raises(UserError) as refused:
        read_faces(str(packed))
    assert "\n" not in str(refused.value) and str(packed) in str(refused.value)


def test_names_that_lead_elsewhere_are_refused(packed):
    names = np.load(packed / "train/names.npy")
    names[2] = b"../elsewhere.jpg"
    np.save(packed / "train/names.npy", names)
    with pytest.raises(UserError, match="leaves the images folder"):
        read_faces(str(packed))


def test_excluded_faces_are_left_out(packed, tmp_path):
    faces = read_faces(str(packed))
    (tmp_path / "bad.txt").write_text(faces.name(4))
    assert read_faces(str(packed), exclude=str(tmp_path / "bad.txt")).usable.tolist() == [
        row for row in range(24) if row != 4
    ]


def test_packed_faces_are_no_part_of_several(packed):
    with pytest.raises(UserError, match="pack"):
        several.read_faces([{"data": "shards", "root": str(packed)}])


def test_what_is_there_is_not_written_over(packed, source):
    before = (packed / "pack.json").read_bytes()
    with pytest.raises(UserError, match="there already"):
        write_pack.write_pack(source, packed, SMALL)
    assert (packed / "pack.json").read_bytes() == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.ENOSPC, "full")])
def test_a_stopped_pack_leaves_nothing(source, tmp_path, monkeypatch, error):
    original, count = tarfile.TarFile.addfile, []

    def stop(*arguments):
        count.append(1)
        if len(count) == 30:
            raise error
        return original(*arguments)

    monkeypatch.setattr(tarfile.TarFile, "addfile", stop)
    out = tmp_path / "new"
    with pytest.raises(UserError if isinstance(error, OSError) else KeyboardInterrupt):
        write_pack.write_pack(source, out / "pack", SMALL)
    assert len(count) == 30 and not list(out.iterdir())


def test_an_image_that_goes_while_it_is_packed_is_named(source, tmp_path):
    Path(source["train"].path(3)).unlink()
    with pytest.raises(UserError, match=source["train"].name(3)):
        write_pack.write_pack(source, tmp_path / "out", SMALL)


def test_an_image_is_shown_by_the_same_functions(packed, source):
    faces = read_faces(str(packed))
    wanted = read_image(source["train"].path(2), exif=faces.exif)
    assert np.array_equal(read_image(faces.path(2), exif=faces.exif), wanted)
    assert str(faces.path(2)).startswith(str(packed)) and faces.name(2) in faces.path(2)
