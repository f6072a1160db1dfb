"""Checkpoints: whole or not at all, and never code."""

import pytest
import torch

from landmarks import checkpoint
from landmarks.checkpoint import load_checkpoint, save_checkpoint
from landmarks.errors import UserError
from landmarks.models.heads import RegressionHead

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


@pytest.mark.parametrize("basis", [False, True])
def test_a_regression_of_format_1_predicts_what_it_did(basis, tmp_path):
    start = torch.full((3, 2), 20.0)
    head = RegressionHead(4, 3, 32, start=start, components=2 if basis else None)
    shapes = {"modes": torch.randn(2, 6), "rest_scale": torch.tensor(0.5)} if basis else {}
    weights = {**{k: torch.randn_like(v) for k, v in head.offsets.state_dict().items()}, **shapes}
    head.offsets.load_state_dict(weights)
    features = [torch.rand(2, 4, 1, 1)]
    in_halves = 32 / 2 * head.offsets(features[0].flatten(1)).unflatten(1, (-1, 2)) + start
    old = {f"head.{key}": value for key, value in head.state_dict().items()}
    training = {"model": dict(old), "ema": {"weights": dict(old)}}
    content = {"format": 1, "config": {}, "weights": old, "training": training}
    torch.save(content, tmp_path / "a.pt")
    back = load_checkpoint(tmp_path / "a.pt")
    for kept in (back["weights"], back["training"]["model"], back["training"]["ema"]["weights"]):
        head.load_state_dict({key.removeprefix("head."): value for key, value in kept.items()})
        torch.testing.assert_close(head.decode(features)[0], in_halves)


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
