"""Checkpoints: whole or not at all, and never code."""

import pytest
import torch
from torch import nn

from landmarks.errors import UserError
from landmarks.models.heads import RegressionHead
from landmarks.runs import checkpoint
from landmarks.runs.checkpoint import load_checkpoint, load_config, save_checkpoint

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


@pytest.mark.parametrize(("version", "units"), [(1, 2), (2, 16)])
def test_a_regression_of_an_older_format_predicts_what_it_did(version, units, tmp_path):
    """It pooled averages alone, and counted in other parts of the input's side."""
    start, channels = torch.full((3, 2), 20.0), 4
    offsets = nn.Linear(channels, 6)
    filled = {name: torch.randn_like(value) for name, value in offsets.state_dict().items()}
    offsets.load_state_dict(filled)
    features = torch.rand(2, channels, 2, 3)
    expected = start + 32 / units * offsets(features.mean((2, 3))).unflatten(1, (-1, 2))
    old = {f"head.offsets.{name}": value for name, value in filled.items()}
    content = {"format": version, "config": {}, "weights": {**old, "head.start": start}}
    torch.save({**content, "training": {"step": 1}}, tmp_path / "a.pt")
    back = load_checkpoint(tmp_path / "a.pt")
    assert "training" not in back
    head = RegressionHead(channels, 3, 32)
    head.load_state_dict({k.removeprefix("head."): v for k, v in back["weights"].items()})
    torch.testing.assert_close(head.decode([features])[0], expected)


def test_a_keypoint_rcnn_of_an_older_format_looks_for_landmarks_anywhere(tmp_path):
    content = {"config": {}, "weights": {"head.predictor.weight": torch.zeros(8, 3, 4, 4)}}
    torch.save({"format": 3, **content, "training": {"step": 1}}, tmp_path / "a.pt")
    back = load_checkpoint(tmp_path / "a.pt")
    assert back["weights"]["head.start"].shape == (3, 2) and "training" not in back
    assert back["weights"]["head.start"].isnan().all()


def test_a_later_keypoint_rcnn_is_read_as_it_is(tmp_path):
    weights = {"head.predictor.weight": torch.zeros(8, 3, 4, 4), "head.start": torch.ones(3, 2)}
    content = {"config": {}, "weights": weights, "training": {"step": 1}}
    torch.save({"format": 4, **content}, tmp_path / "a.pt")
    back = load_checkpoint(tmp_path / "a.pt")
    assert back["training"] == {"step": 1} and torch.equal(
        back["weights"]["head.start"], torch.ones(3, 2)
    )


def test_a_regression_of_this_head_keeps_its_training(tmp_path):
    weights = {"head.offsets.weight": torch.ones(6, 12), "head.offsets.bias": torch.ones(6)}
    content = {"config": {}, "weights": dict(weights), "training": {"step": 1}}
    torch.save({"format": 3, **content}, tmp_path / "a.pt")
    back = load_checkpoint(tmp_path / "a.pt")
    assert back["training"] == {"step": 1}
    assert all(torch.equal(back["weights"][name], weights[name]) for name in weights)


def test_a_regression_of_an_older_format_subtracts_nothing_in_training_too(tmp_path):
    weights = {"head.offsets.weight": torch.ones(6, 12), "head.offsets.bias": torch.ones(6)}
    training = {"model": dict(weights), "ema": {"weights": dict(weights)}}
    content = {"config": {}, "weights": weights, "training": training}
    torch.save({"format": 4, **content}, tmp_path / "a.pt")
    back = load_checkpoint(tmp_path / "a.pt")
    trained = back["training"]
    for tensors in (back["weights"], trained["model"], trained["ema"]["weights"]):
        mean = tensors["head.center.mean"]
        assert mean.shape == (12,) and mean.isnan().all()


def test_the_training_of_other_models_is_kept(tmp_path):
    content = {"format": 1, **CONTENT, "training": {"step": 1}}
    torch.save(content, tmp_path / "a.pt")
    assert load_checkpoint(tmp_path / "a.pt")["training"] == {"step": 1}


@pytest.mark.parametrize("load", [load_config, lambda path: load_checkpoint(path)["config"]])
def test_settings_that_are_gone_are_dropped_or_refused(load, tmp_path):
    model = {"_target_": "landmarks.models.builders.regressor", "backbone": "resnet18"}
    old = {**model, "basis": "none", "components": 40}
    save_checkpoint(tmp_path / "a.pt", {"config": {"model": old}, "weights": {}})
    assert load(tmp_path / "a.pt") == {"model": model}
    old["basis"] = "pca"
    save_checkpoint(tmp_path / "a.pt", {"config": {"model": old}, "weights": {}})
    with pytest.raises(UserError, match=r"model\.basis=pca"):
        load(tmp_path / "a.pt")


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
