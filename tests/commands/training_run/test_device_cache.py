"""Whether faces are kept on the GPU, by what it leaves to training. The CPU stands in for it."""

import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from landmarks.cli import main as cli
from landmarks.commands import train as train_module
from landmarks.commands.training_run import device_cache
from landmarks.commands.training_run.device_cache import (
    keep_on_device,
    name_cache_savings,
    spare_memory,
)
from landmarks.commands.training_run.training_inputs import Inputs
from landmarks.data.batches.cropped_faces import CroppedFaces
from landmarks.data.batches.device_batches import DeviceBatches, bytes_on_device
from landmarks.data.batches.loader import Batches
from landmarks.data.formats.thousand import read_faces
from landmarks.errors import UserError
from landmarks.machine import say_bytes
from landmarks.runs.checkpoint import load_checkpoint

CPU = torch.device("cpu")
GIB = 1 << 30


@pytest.fixture
def standing_in(monkeypatch):
    """Let the CPU pass for a GPU; return what was kept on it."""
    kept = []

    def keep(*given):
        kept.append(keep_on_device(*given))
        return kept[-1]

    monkeypatch.setattr(train_module, "refuse_device_cache", lambda cache, device: None)
    monkeypatch.setattr(train_module, "keep_on_device", keep)
    return kept


@pytest.fixture
def inputs(contest):
    """Inputs of a training as if they came from data.cache=NAME; only what is kept is there."""
    source = CroppedFaces(read_faces(str(contest().root)), "letterbox", 32)
    halves = [Batches(source, rows, batch_size=2) for rows in (np.arange(4), np.arange(4, 6))]
    rest = dict.fromkeys(Inputs._fields)

    def of(cache):
        made = {"faces": replace(source.faces, cache=cache), "reading": "images from the cache"}
        return Inputs(**{**rest, **made, "training": halves[0], "validation": halves[1]})

    return of


def test_a_training_from_the_device_has_the_same_bits(train, standing_in, stop_at_step):
    same = ("augment=light", "crop=center")
    train("data.cache=ram", "run_dir=ram", *same)
    with stop_at_step(4):
        train("data.cache=device", "run_dir=device", *same, code=143)
    assert load_checkpoint(Path("device/last.pt")).training["batch"] > 0
    assert cli.main(["train", "resume=device"]) == 0
    assert [name_cache_savings(made) != [] for made in standing_in] == [False, True, True]
    for made in standing_in[1:]:
        assert isinstance(made.training, DeviceBatches)
        assert isinstance(made.validation, DeviceBatches)
    assert train.are_equal("ram", "device")
    assert train.metrics("ram") == train.metrics("device")
    for picture in ("augmented.png", "faces.png"):
        assert (Path("device") / picture).read_bytes() == (Path("ram") / picture).read_bytes()


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_it_is_refused_without_a_gpu(train, device, capsys, monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    train("data.cache=device", f"device={device}", "run_dir=run", code=1)
    assert "data.cache=ram" in capsys.readouterr().err
    assert not Path("run/split.npz").exists()


@pytest.mark.parametrize("cache", ["ram", "disk", "off", "auto"])
def test_other_caches_stay_where_they_are(inputs, cache):
    given = inputs(cache)
    assert keep_on_device(given, CPU, None) is given


def test_training_is_left_what_it_needs():
    needed = SimpleNamespace(total=lambda: 5.0 * GIB, weights=1 * GIB)
    assert spare_memory("device", 100 * GIB, needed) == 4 * GIB
    assert spare_memory("auto", 100 * GIB, needed) == 9 * GIB
    assert spare_memory("auto", 100 * GIB, None) == 40 * GIB


class Gpu:
    """Stands for a GPU where the type of a device is asked for."""

    type = "cuda"


@pytest.mark.parametrize("missing", [0, 1])
def test_auto_keeps_what_fits(inputs, monkeypatch, caplog, missing):
    caplog.set_level(logging.INFO)
    given, gpu = inputs("auto"), Gpu()
    size = bytes_on_device(given.training) + bytes_on_device(given.validation)
    needed = SimpleNamespace(total=lambda: 3.0 * GIB, weights=GIB)
    free = size + 5 * GIB - missing
    monkeypatch.setattr(device_cache, "free_memory", lambda device: free)
    monkeypatch.setattr(device_cache, "DeviceBatches", lambda host, device: (host, device))
    caplog.clear()
    made = keep_on_device(given, gpu, needed)
    assert (made.training == (given.training, gpu)) == (missing == 0)
    assert (made is given) == (missing == 1)
    (line,) = caplog.records
    assert line.levelname == "INFO"
    assert "5.0 GiB" in line.getMessage() and say_bytes(size) in line.getMessage()


def fail(host, device):
    raise torch.OutOfMemoryError("CUDA out of memory")


def test_memory_that_runs_out_leaves_auto_where_it_was_and_stops_device(
    inputs, monkeypatch, caplog
):
    monkeypatch.setattr(device_cache, "free_memory", lambda device: 9 * GIB)
    monkeypatch.setattr(device_cache, "DeviceBatches", fail)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    given = inputs("auto")
    assert keep_on_device(given, Gpu(), None) is given
    assert caplog.records[-1].levelname == "WARNING"
    with pytest.raises(UserError, match=r"data\.cache=device .* 9\.0 GiB .* data\.cache=disk"):
        keep_on_device(inputs("device"), Gpu(), None)
    monkeypatch.setattr(device_cache, "free_memory", lambda device: 1000)
    with pytest.raises(UserError, match=r"data\.cache=device .*: use data\.cache=disk"):
        keep_on_device(inputs("device"), Gpu(), None)
