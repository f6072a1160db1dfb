"""Checkpoints: whole or not at all, and never code."""

import io
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from refusals import refused

from landmarks.interrupt import Interrupted
from landmarks.runs import checkpoint
from landmarks.runs.checkpoint import load_checkpoint, load_config, save_checkpoint

TRAINING = {"step": 1, "planned_at": 0, "planned_from": 0.5, "schedule": {}}


@pytest.fixture
def some(checkpoint_of):
    """A checkpoint with something of everything."""
    more = {"flip": [1, 0, 2], "unlabelled": [2], "metrics": {"epoch": 1, "val_mse": 2.0}}
    return checkpoint_of({"seed": 1}, 3, weights={"w": torch.arange(3.0)}, **more)


@pytest.mark.parametrize("training", [None, TRAINING])
def test_round_trip(training, some, tmp_path):
    some = replace(some, training=training)
    save_checkpoint(tmp_path / "a.pt", some)
    back = load_checkpoint(tmp_path / "a.pt")
    assert torch.equal(back.weights["w"], some.weights["w"])
    assert {**vars(back), "weights": 0} == {**vars(some), "weights": 0}
    assert load_config(tmp_path / "a.pt") == some.config
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_a_failed_write_leaves_the_old_file(some, tmp_path, monkeypatch):
    save_checkpoint(tmp_path / "a.pt", some)

    def fail(content, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", fail)
    with refused("a.pt", "No space left on device"):
        save_checkpoint(tmp_path / "a.pt", replace(some, config={"seed": 2}))
    assert load_checkpoint(tmp_path / "a.pt").config == some.config
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_a_signal_while_it_is_written_ends_as_a_signal(some, tmp_path, monkeypatch):
    """torch says RuntimeError there, which would be a fault of the program."""

    class Cut(io.FileIO):
        def write(self, data):
            if self.tell() > 0:
                raise Interrupted(signal.SIGTERM)
            return super().write(data[:10])

    save_checkpoint(tmp_path / "a.pt", some)
    before = (tmp_path / "a.pt").read_bytes()
    monkeypatch.setattr(Path, "open", lambda path, mode: Cut(path, mode))
    with pytest.raises(Interrupted) as ended:
        save_checkpoint(tmp_path / "a.pt", some)
    assert ended.value.exit_code == 143
    assert (tmp_path / "a.pt").read_bytes() == before and len([*tmp_path.iterdir()]) == 1


def test_newer_format_is_refused(tmp_path):
    torch.save({"format": checkpoint.FORMAT + 1, "config": {}}, tmp_path / "a.pt")
    with refused("a.pt", "newer"):
        load_checkpoint(tmp_path / "a.pt")


def test_an_exported_model_is_no_checkpoint(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"graph")
    with refused("a.onnx", ".pt"):
        load_checkpoint(tmp_path / "a.onnx")


def test_code_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("code was run",))

    torch.save({"format": 1, "config": Trap()}, tmp_path / "a.pt")
    with refused("a.pt"):
        load_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize("name", checkpoint.FIRST[1:])
def test_what_every_version_wrote_is_missed(name, some, tmp_path):
    content = {"format": 1, **vars(some)}
    del content[name]
    torch.save(content, tmp_path / "a.pt")
    with refused("a.pt", name):
        load_checkpoint(tmp_path / "a.pt")
