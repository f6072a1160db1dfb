"""Checkpoints: whole or not at all, and never code."""

import pytest
import torch

from landmarks import checkpoint
from landmarks.checkpoint import load_checkpoint, save_checkpoint
from landmarks.errors import UserError

CONTENT = {"config": {"a": 1}, "weights": {"w": torch.arange(3.0)}}


def test_round_trip(tmp_path):
    save_checkpoint(tmp_path / "a.pt", CONTENT)
    back = load_checkpoint(tmp_path / "a.pt")
    assert torch.equal(back["weights"]["w"], CONTENT["weights"]["w"]) and back["config"] == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    save_checkpoint(tmp_path / "a.pt", CONTENT)

    def fail(content, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", fail)
    with pytest.raises(UserError, match="No space left on device"):
        save_checkpoint(tmp_path / "a.pt", {**CONTENT, "config": {"a": 2}})
    assert load_checkpoint(tmp_path / "a.pt")["config"] == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_newer_format_is_refused(tmp_path):
    torch.save({"format": checkpoint.FORMAT + 1, "config": {}}, tmp_path / "a.pt")
    with pytest.raises(UserError, match="newer landmarks"):
        load_checkpoint(tmp_path / "a.pt")


def test_code_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("code was run",))

    torch.save({"format": 1, "config": Trap()}, tmp_path / "a.pt")
    with pytest.raises(UserError, match="damaged or not a checkpoint"):
        load_checkpoint(tmp_path / "a.pt")
