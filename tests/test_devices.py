"""What is copied without waiting, and what memory and clocks say, of devices that are not here."""

from pathlib import Path

import numpy as np
import pytest
import torch

import landmarks
from landmarks.data.batches.cropped_faces import Batch
from landmarks.devices import ahead_on_device, copy_ahead, move, send, synchronize
from landmarks.machine import free_memory
from landmarks.training.time_budget import StepClock, memory_in_use

CPU, CUDA, MPS = (torch.device(name) for name in ("cpu", "cuda", "mps"))
ROOT = Path(landmarks.__file__).parents[1]


class Copied:
    """Stands for a tensor; notes how it is copied."""

    def to(self, device, *, non_blocking):
        self.asked = device, non_blocking
        return self


@pytest.fixture
def mps(monkeypatch):
    """Calls that reached MPS, which holds 3 GiB of the 10 that are recommended."""
    called = []
    answers = {
        "synchronize": None,
        "driver_allocated_memory": 4 * 2**30,
        "current_allocated_memory": 3 * 2**30,
        "recommended_max_memory": 10 * 2**30,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(
            torch.mps, name, lambda name=name, answer=answer: called.append(name) or answer
        )
    return called


@pytest.mark.parametrize(("device", "waits"), [(CPU, True), (MPS, True), (CUDA, False)])
def test_only_copies_to_cuda_are_not_waited_for(device, waits):
    tensor = Copied()
    assert move(tensor, device) is tensor
    assert tensor.asked == (device, not waits)


def test_batches_are_not_read_ahead_where_nothing_is_copied():
    read = []

    def batches():
        for i in range(3):
            read.append(i)
            yield Batch(torch.full((2, 3, 4, 4), i), *torch.zeros(4, 2))

    for i, (batch, there) in enumerate(copy_ahead(batches(), CPU)):
        assert there is batch and read == list(range(i + 1))
    assert [int(batch.images[0, 0, 0, 0]) for batch in ahead_on_device(batches(), CPU)] == [0, 1, 2]


def test_images_points_and_matrices_are_copied_and_the_rest_is_not():
    batch = Batch(*(torch.zeros(2) for _ in Batch._fields))
    ((given, there),) = copy_ahead([batch], torch.device("meta"))
    assert given is batch
    where = {name: tensor.device.type for name, tensor in there._asdict().items()}
    moved = dict.fromkeys(("images", "points", "to_image"), "meta")
    assert where == {**moved, "rows": "cpu", "readable": "cpu"}


@pytest.mark.parametrize(("device", "wanted"), [(CPU, 0), (MPS, 0), (CUDA, 1)])
def test_numbers_go_to_cuda_from_pinned_memory(device, wanted, monkeypatch):
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self) or self)
    monkeypatch.setattr("landmarks.devices.move", lambda tensor, device: (tensor, device))
    numbers = np.arange(6, dtype=np.float32).reshape(2, 3)
    sent, where = send(numbers, device)
    assert where == device and np.array_equal(sent.numpy(), numbers)
    assert len(pinned) == wanted


def test_nothing_else_copies_without_waiting():
    files = [file for part in ("landmarks", "scripts") for file in (ROOT / part).rglob("*.py")]
    asking = [file.name for file in files if "non_blocking" in file.read_text(encoding="utf-8")]
    assert asking == ["devices.py"]


def test_time_is_taken_when_the_device_is_done(mps):
    synchronize(CPU)
    assert mps == []
    clock = StepClock(MPS, needed=True, warm_up=3)
    for _ in range(3):
        clock.tick()
    assert mps == ["synchronize"]


def test_memory_of_mps_is_what_it_says(mps):
    assert memory_in_use(MPS) == "4.0 GiB of GPU memory"
    assert free_memory(MPS) == 7 * 2**30
