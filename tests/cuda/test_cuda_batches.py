"""Batches kept on the GPU or copied to it ahead are those of the host."""

import threading

import numpy as np
import pytest
import torch

from landmarks.data.batches.cached_crops import CanvasFaces, open_canvas
from landmarks.data.batches.cropped_faces import CroppedFaces
from landmarks.data.batches.device_batches import DeviceBatches
from landmarks.data.batches.loader import Batches
from landmarks.data.formats.thousand import read_faces
from landmarks.devices import ahead_on_device, copy_ahead, fetch

SIZE = 64


@pytest.fixture
def loaders(contest):
    """Make batches of 4 of 30 faces that lie on the host, pinned, as often as asked."""
    source = CroppedFaces(read_faces(str(contest(train=30).root)), "center", SIZE, 8)

    def load(**settings):
        return Batches(source, np.arange(29), batch_size=4, pin_memory=True, **settings)

    return load


def same(one, other):
    return all(
        torch.equal(a.cpu().nan_to_num(-1), b.cpu().nan_to_num(-1))
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("seed", [None, 3])
def test_batches_kept_on_the_gpu_are_those_of_the_host(seed, loaders, cuda):
    host, there = loaders(seed=seed), DeviceBatches(loaders(seed=seed), cuda)
    for epoch, first in ((0, 0), (1, 2)):
        for batches in (host, there):
            batches.start_at(epoch, first)
        wanted, found = list(host), list(there)
        assert len(found) == len(wanted) > 0 and all(map(same, found, wanted))
        for batch in found:
            assert batch.images.is_cuda and batch.points.is_cuda and batch.to_image.is_cuda
            assert not batch.rows.is_cuda and not batch.readable.is_cuda
            assert batch.images.is_contiguous(memory_format=torch.channels_last)


def test_batches_kept_on_the_gpu_are_gathered_without_waiting(loaders, cuda):
    there = DeviceBatches(loaders(seed=0), cuda)
    images = torch.empty(4, 3, SIZE + 16, SIZE + 16, dtype=torch.uint8, device=cuda)
    images = images.to(memory_format=torch.channels_last)
    out = images, torch.empty(4, 5, 2, device=cuda), torch.empty(4, 2, 3, device=cuda)
    torch.cuda.set_sync_debug_mode("error")
    for epoch in range(3):
        there.start_at(epoch)
        assert len(list(ahead_on_device(there, cuda))) == len(there)
        there.start_at(epoch)
        assert len(list(there.iterate(out))) == len(there)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_copied_ahead_come_whole_and_in_order(workers, loaders, cuda):
    wanted = list(loaders(seed=1))
    busy = torch.randn(4096, 4096, device=cuda)
    sums = []
    found = ahead_on_device(loaders(seed=1, workers=workers), cuda)
    torch.cuda.set_sync_debug_mode("error")
    for batch in found:
        assert batch.images.is_cuda and batch.points.is_cuda
        for _ in range(5):  # the device falls behind the host, which copies on
            busy = torch.sin(busy @ busy)
        points = batch.points.nan_to_num(0)
        sums.append((batch.images.double().sum(), points.double().sum(), batch.rows))
        del batch
    torch.cuda.set_sync_debug_mode("default")
    assert len(sums) == len(wanted)
    for (images, points, rows), batch in zip(sums, wanted, strict=True):
        assert torch.equal(rows, batch.rows)
        assert images == batch.images.double().sum()
        assert points.item() == pytest.approx(batch.points.nan_to_num(0).double().sum().item())


def test_a_canvas_is_gathered_and_pinned_beside_the_training(contest, monkeypatch):
    faces, threads = read_faces(str(contest(train=12).root), cache="ram"), set()
    source = CanvasFaces(faces, open_canvas(faces, "stretch", SIZE), SIZE)
    pin = torch.Tensor.pin_memory

    def noted(tensor, *given):
        threads.add(threading.current_thread())
        return pin(tensor, *given)

    monkeypatch.setattr(torch.Tensor, "pin_memory", noted)
    made = Batches(source, np.arange(12), batch_size=4, workers=2, pin_memory=True)
    assert all(batch.images.is_pinned() for batch in made)
    assert threads and threading.main_thread() not in threads


def test_a_batch_copied_ahead_comes_with_its_own_on_the_host(loaders, cuda):
    for batch, moved in copy_ahead(loaders(), cuda):
        assert not batch.images.is_cuda and moved.images.is_cuda and same(batch, moved)


def test_results_are_fetched_into_pinned_memory(cuda):
    values = [torch.rand(3, 5, 2, device=cuda), torch.rand(3, 5, device=cuda)]
    torch.cuda.set_sync_debug_mode("error")
    found = fetch(values)()
    torch.cuda.set_sync_debug_mode("default")
    assert all(value.is_pinned() for value in found)
    assert all(torch.equal(a, b.cpu()) for a, b in zip(found, values, strict=True))
