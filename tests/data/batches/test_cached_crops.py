"""The canvas cache: the same batches as without it, and never an old or a torn picture."""

import os
import pickle
import re
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from refusals import refused

from landmarks.data.batches import cached_crops as canvas_cache
from landmarks.data.batches import cached_crops as canvas_module
from landmarks.data.batches.cached_crops import CanvasFaces, choose_margin, open_canvas
from landmarks.data.batches.cropped_faces import CroppedFaces
from landmarks.data.batches.loader import Batches
from landmarks.data.crops.boxes import frame_faces
from landmarks.data.formats.thousand import read_faces
from landmarks.errors import UserError
from landmarks.machine import free_memory

SIZE = 32
COUNT = 150  # more than one chunk


@pytest.fixture
def made(contest):
    return contest(train=COUNT, test=1)


@pytest.fixture
def faces(made):
    return read_faces(str(made.root), cache="disk")


@pytest.fixture
def reads(monkeypatch):
    """The rows that are read from image files."""
    seen, read = [], CroppedFaces.read
    monkeypatch.setattr(
        CroppedFaces, "read", lambda self, row, out: seen.append(row) or read(self, row, out)
    )
    return seen


def same(one, other):
    return all(
        torch.equal(a.nan_to_num(-1), b.nan_to_num(-1)) for a, b in zip(one, other, strict=True)
    )


def settle(faces):
    """Wait for the stamps, which follow the disk."""
    folder = canvas_module._folder(canvas_module._describe(faces, "letterbox", SIZE, 0), None)
    for _ in range(500):
        if canvas_module._open(len(faces), SIZE, folder).stamps.all():
            return
        time.sleep(0.01)
    raise AssertionError("the stamps were never written")


@pytest.mark.parametrize("where", ["disk", "ram", "auto"])
@pytest.mark.parametrize("crop", ["letterbox", "stretch", "center", "box"])
def test_batches_are_the_same_as_without(faces, where, crop):
    faces, crop = frame_faces(replace(faces, cache=where), crop, 0.25, "points")
    canvas = open_canvas(faces, crop, SIZE)
    rows = [3, 140, 0, 77]
    most = choose_margin(crop, SIZE)
    assert (most == 0) == (crop in ("letterbox", "stretch"))
    for margin in {0, most}:
        cached = CanvasFaces(faces, canvas, SIZE, margin).__getitems__(rows)
        plain = CroppedFaces(faces, crop, SIZE, margin).__getitems__(rows)
        assert same(cached, plain) and cached.images.shape[-1] == SIZE + 2 * margin
        assert cached.images.is_contiguous(memory_format=torch.channels_last)
    inner = CroppedFaces(faces, crop, SIZE).__getitems__(rows)
    trim = slice(most, most + SIZE)
    assert torch.equal(plain.images[:, :, trim, trim], inner.images) or most == 0
    assert torch.allclose(plain.points, inner.points, atol=1e-4, equal_nan=True)


def test_a_second_run_reads_nothing_and_a_changed_image_is_read_again(faces, made, reads):
    open_canvas(faces, "letterbox", SIZE)
    assert sorted(reads) == list(range(COUNT))
    settle(faces)
    reads.clear()
    open_canvas(faces, "letterbox", SIZE)
    assert not reads
    path = faces.path(5)
    cv2.imwrite(path, np.full((40, 60, 3), 200, np.uint8))
    canvas = open_canvas(faces, "letterbox", SIZE)
    assert reads == [5] and canvas.pixels[5].max() >= 195
    assert same(
        CanvasFaces(faces, canvas, SIZE).__getitems__([5]),
        CroppedFaces(faces, "letterbox", SIZE).__getitems__([5]),
    )
    reads.clear()
    open_canvas(faces, "center", SIZE)  # another crop, another cache
    assert len(reads) == COUNT


def test_an_image_of_the_same_size_and_time_is_read_again(faces, reads):
    open_canvas(faces, "letterbox", SIZE)
    settle(faces)
    reads.clear()
    path = Path(faces.path(5))
    before = path.stat()
    other = cv2.imencode(".jpg", np.full((8, 8, 3), 220, np.uint8))[1].tobytes()
    path.write_bytes(other.ljust(before.st_size, b"\0"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    canvas = open_canvas(faces, "letterbox", SIZE)
    assert reads == [5] and canvas.pixels[5].max() >= 215


def test_building_goes_on_where_it_was_cut_off(faces, monkeypatch, reads):
    monkeypatch.setattr(canvas_cache, "SYNC", 1)
    read = CroppedFaces.read

    def fail(self, row, out):
        if len(reads) > 100:
            raise KeyboardInterrupt
        return read(self, row, out)

    with monkeypatch.context() as patch:
        patch.setattr(CroppedFaces, "read", fail)
        patch.setattr(canvas_cache, "count_cores", lambda: 1)
        with pytest.raises(KeyboardInterrupt):
            open_canvas(faces, "letterbox", SIZE)
    before = len(reads)
    assert 64 <= before < COUNT
    time.sleep(0.1)  # what was read reaches the disk in a thread of its own
    reads.clear()
    canvas = open_canvas(faces, "letterbox", SIZE)
    assert 0 < len(reads) <= COUNT - 64 and canvas.readable.all()
    assert same(
        CanvasFaces(faces, canvas, SIZE).__getitems__(list(range(COUNT))),
        CroppedFaces(faces, "letterbox", SIZE).__getitems__(list(range(COUNT))),
    )


def test_two_builders_at_once(faces):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        canvases = list(pool.map(lambda _: open_canvas(faces, "letterbox", SIZE), range(2)))
    plain = CroppedFaces(faces, "letterbox", SIZE).__getitems__(list(range(COUNT)))
    for canvas in canvases:
        assert same(CanvasFaces(faces, canvas, SIZE).__getitems__(list(range(COUNT))), plain)


def test_unreadable_images_are_black_and_tried_again(faces, made, reads):
    good = (made.root / "train/images" / made.names[2]).read_bytes()
    (made.root / "train/images" / made.names[2]).write_bytes(b"no image")
    canvas = open_canvas(faces, "letterbox", SIZE)
    source = CanvasFaces(faces, canvas, SIZE)
    batch = source.__getitems__([1, 2])
    assert batch.readable.tolist() == [True, False]
    assert batch.images[1].max() == 0 and batch.points[1].isnan().all()
    assert same(batch, CroppedFaces(faces, "letterbox", SIZE).__getitems__([1, 2]))
    with pytest.raises(UserError, match=re.escape(made.names[2])):
        list(Batches(source, np.arange(4), batch_size=4))
    (made.root / "train/images" / made.names[2]).write_bytes(good)
    assert open_canvas(faces, "letterbox", SIZE).readable.all()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_process_maps_the_cache_and_a_thread_reads_ahead(faces, workers):
    canvas = open_canvas(faces, "letterbox", SIZE)
    source = CanvasFaces(faces, canvas, SIZE)
    assert len(pickle.dumps(canvas)) < 5000
    again = pickle.loads(pickle.dumps(source))
    assert same(again.__getitems__([1, 2]), source.__getitems__([1, 2]))
    batches = list(Batches(source, np.arange(COUNT), batch_size=50, workers=workers, seed=0))
    plain = CroppedFaces(faces, "letterbox", SIZE)
    assert same(batches[1], plain.__getitems__(batches[1].rows.tolist()))
    assert len(batches) == 3
    loader = Batches(source, np.arange(COUNT), batch_size=50, workers=workers, seed=0)
    first = next(iter(loader))  # left before its end
    assert same(first, batches[0]) and len(list(loader)) == 3


def test_size_is_checked_before_anything_is_built(faces, monkeypatch, reads, caplog):
    usage = canvas_module.shutil.disk_usage(".")
    monkeypatch.setattr(canvas_module.shutil, "disk_usage", lambda p: usage._replace(free=1 << 30))
    with refused("data.cache=disk", "450 KiB", "1.0 GiB", "data.cache_dir=FOLDER"):
        open_canvas(faces, "letterbox", SIZE)
    assert open_canvas(replace(faces, cache="auto"), "letterbox", SIZE) is None
    (record,) = caplog.records
    assert "450 KiB" in record.getMessage() and "1.0 GiB" in record.getMessage() and not reads
    assert open_canvas(replace(faces, cache="off"), "letterbox", SIZE) is None


def test_memory_is_what_a_container_leaves(faces, monkeypatch, tmp_path, reads):
    files = {
        "proc/meminfo": f"MemAvailable: {2**33} kB\n",
        "proc/self/cgroup": "0::/\n",
        "sys/fs/cgroup/memory.max": f"{2**30}\n",
        "sys/fs/cgroup/memory.current": "0\n",
        "sys/fs/cgroup/memory.stat": "anon 0\n",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(canvas_module, "free_memory", lambda device: free_memory(device, tmp_path))
    with refused("data.cache=ram", "1.0 GiB", "data.cache=disk"):
        open_canvas(replace(faces, cache="ram"), "letterbox", SIZE)
    assert not reads
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("max\n")
    assert open_canvas(replace(faces, cache="ram"), "letterbox", SIZE).readable.all()


def test_a_disk_that_fills_meanwhile_is_one_sentence(faces, monkeypatch):
    """A mapped file with holes on a full disk would kill the process."""
    reserved = []

    def reserve(descriptor, start, size):
        reserved.append((start, size))
        if len(reserved) > 4:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", reserve)
    with refused("No space left on device", "data.cache_dir"):
        open_canvas(faces, "letterbox", SIZE)
    side = SIZE + 2 * choose_margin("letterbox", SIZE)
    assert [start % size for start, size in reserved[2:]] == [0] * len(reserved[2:])
    assert {size for _, size in reserved[2:]} == {3 * side * side}
    reserved.clear()
    assert open_canvas(replace(faces, cache="auto"), "letterbox", SIZE) is None
    monkeypatch.undo()
    assert open_canvas(faces, "letterbox", SIZE).readable.all()


def test_a_cache_that_cannot_be_written(faces, tmp_path):
    (tmp_path / "file").write_text("")
    bad = replace(faces, cache_dir=str(tmp_path / "file"))
    with refused("file"):
        open_canvas(bad, "letterbox", SIZE)
    assert open_canvas(replace(bad, cache="auto"), "letterbox", SIZE) is None
