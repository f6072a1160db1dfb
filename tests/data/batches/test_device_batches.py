"""Faces kept on a device: the same batches as from the host. The CPU stands in for the GPU."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from refusals import refused

from landmarks.data.batches import device_batches
from landmarks.data.batches.cached_crops import CanvasFaces, open_canvas
from landmarks.data.batches.cropped_faces import CroppedFaces
from landmarks.data.batches.device_batches import DeviceBatches, bytes_on_device
from landmarks.data.batches.loader import Batches
from landmarks.data.crops.boxes import frame_faces
from landmarks.data.formats.thousand import read_faces

SIZE = 32
COUNT = 23
ROWS = np.array([7, 3, 20, 1, 15, 9, 0, 22, 11, 4, 18])  # not all, and in no order
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(device_batches, "BLOCK_BYTES", 3 * 3 * SIZE**2)  # of 3 faces, or 1


@pytest.fixture
def made(contest):
    return contest(train=COUNT, test=2)


@pytest.fixture
def faces(made):
    points = np.array((whole := read_faces(str(made.root), cache="disk")).points)
    points[3, 1] = np.nan
    return replace(whole, points=points)


def same(one, other):
    return all(
        a.dtype == b.dtype and torch.equal(a.nan_to_num(-1), b.nan_to_num(-1))
        for a, b in zip(one, other, strict=True)
    )


def pair(source, **settings):
    """Batches from the host, and those on the device."""
    host = [Batches(source, ROWS, **{"batch_size": 4, **settings}) for _ in range(2)]
    return host[0], DeviceBatches(host[1], CPU)


@pytest.mark.parametrize("crop", ["letterbox", "center", "box"])
@pytest.mark.parametrize(("size", "margin"), [(SIZE, 0), (SIZE, 4), (33, 4), (31, 0)])
@pytest.mark.parametrize("seed", [None, 5])
def test_batches_are_those_of_the_host(faces, crop, size, margin, seed):
    faces, crop = frame_faces(faces, crop, 0.25, "points")
    margin = 0 if crop == "letterbox" else margin
    canvas = open_canvas(faces, crop, size)
    for source in (
        CanvasFaces(faces, canvas, size, margin),
        CroppedFaces(faces, crop, size, margin),
    ):
        host, there = pair(source, seed=seed)
        assert len(there) == len(host) and there.batch_size == host.batch_size
        assert np.array_equal(there.rows, ROWS) and there.faces is faces
        for epoch, first in ((0, 0), (1, 0), (1, 1), (1, len(host))):
            for batches in (host, there):
                batches.start_at(epoch, first)
            wanted, found = list(host), list(there)
            assert len(found) == len(host) - first
            assert all(map(same, found, wanted))
            for batch in found:
                assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert there.names_of(1, 0) == host.names_of(1, 0)


def test_batches_are_written_to_given_tensors(faces):
    host, there = pair(CroppedFaces(faces, "stretch", SIZE))
    images = torch.empty(4, 3, SIZE, SIZE, dtype=torch.uint8)
    out = (
        images.contiguous(memory_format=torch.channels_last),
        torch.empty(4, 5, 2),
        torch.empty(4, 2, 3),
    )
    held = []
    for wanted, found in zip(host, there.iterate(out), strict=True):
        assert same(found, wanted)
        held.append(found.images is out[0] and found.points is out[1] and found.to_image is out[2])
    assert held == [True, True, False]  # the last batch is smaller
    with pytest.raises(RuntimeError, match="view"):  # it would be written to a copy, and lost
        next(there.iterate((images, *out[1:])))


def test_bytes_are_those_of_its_tensors(faces):
    host, there = pair(CroppedFaces(faces, "center", SIZE, 4))
    kept = (there.pixels, there.points, there.to_image)
    assert bytes_on_device(host) == sum(tensor.nbytes for tensor in kept)
    assert len(there.pixels) == len(ROWS) and there.pixels.shape[1] == SIZE + 8


def test_no_face_is_read_again_after_it_is_there(faces, monkeypatch):
    _, there = pair(CroppedFaces(faces, "letterbox", SIZE), seed=0)
    monkeypatch.setattr(CroppedFaces, "read", None)
    assert [len(list(there)) for _ in range(2)] == [2, 2]


def test_an_unreadable_image_stops_when_faces_are_read(faces, made):
    (made.root / "train/images" / made.names[9]).write_bytes(b"no image")
    with refused(made.names[9], "data.on_error=skip"):
        pair(CroppedFaces(faces, "letterbox", SIZE))


def test_an_unreadable_image_is_skipped_and_said_once(faces, made, caplog):
    (made.root / "train/images" / made.names[9]).write_bytes(b"no image")
    host, there = pair(CroppedFaces(faces, "letterbox", SIZE), on_error="skip")
    assert caplog.text.count(made.names[9]) == 1
    found = list(there)
    assert caplog.text.count(made.names[9]) == 1 and there.host.unreadable == {9}
    assert all(map(same, found, host))
    assert [row for batch in found for row in batch.rows[~batch.readable].tolist()] == [9]


def test_faces_without_points(made):
    faces = read_faces(str(made.root), part="test")
    host = Batches(CroppedFaces(faces, "letterbox", SIZE), np.arange(2), batch_size=2)
    (batch,) = DeviceBatches(host, CPU)
    assert batch.points.shape == (2, 0, 2) and same(batch, next(iter(host)))
