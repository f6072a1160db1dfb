"""What settings named before still means the same: in checkpoints, and in recipes of users."""

from pathlib import Path

import pytest
import torch
from hydra.utils import get_object

from landmarks.cli.main import main
from landmarks.runs.checkpoint import load_checkpoint
from landmarks.runs.config_targets import MOVED, rename_targets
from landmarks.runs.older_formats import update_settings

TENSORBOARD = {"_target_": "landmarks.runs.tensorboard.TensorBoard"}


@pytest.mark.parametrize("old", MOVED)
def test_what_has_moved_is_there(old):
    found, name = get_object(MOVED[old]).__name__, old.rpartition(".")[2]
    assert found.lower() == name.replace("_", "").lower() or found == name
    assert MOVED[old] not in MOVED


def test_targets_are_renamed_wherever_they_stand():
    old = {"model": {"_target_": "landmarks.models.landmarker.unet", "width": 8}, "seeds": [1, 2]}
    new = {"model": {"_target_": "landmarks.models.builders.unet", "width": 8}, "seeds": [1, 2]}
    assert rename_targets(old) == new
    assert rename_targets({"_target_": "mine.model"}) == {"_target_": "mine.model"}


@pytest.mark.parametrize(
    ("saved", "loggers"),
    [
        ({"tensorboard": True}, {"tensorboard": TENSORBOARD}),
        ({"tensorboard": False}, {}),
        ({"logger": TENSORBOARD}, {"tensorboard": TENSORBOARD}),
        ({"logger": {"_target_": "landmarks.runs.loggers.Logger"}}, {}),
    ],
)
def test_loggers_stand_side_by_side(saved, loggers):
    updated = update_settings(saved, Path("last.pt"))
    assert updated["logger"] == loggers and "tensorboard" not in updated


@pytest.mark.parametrize("room", ["", "training."])
def test_schedules_that_were_called_are_built(room):
    old = {"_target_": f"landmarks.{room}schedules.one_cycle", "_partial_": True, "peak": 0.2}
    new = {"_target_": "landmarks.training.schedules.OneCycle", "peak": 0.2}
    assert rename_targets(old) == new
    mine = {"_target_": "mine.schedules.one_cycle", "_partial_": True}
    assert rename_targets(mine) == mine


def test_a_checkpoint_of_before_names_today_s_functions(tmp_path):
    weights = {"head.offsets.weight": torch.zeros(4, 6), "head.center.mean": torch.ones(6)}
    config = {"model": {"_target_": "landmarks.models.landmarker.regressor"}}
    rest = {"num_points": 2, "layout": {"name": "none", "num_points": 2}, "metrics": {}}
    torch.save({"format": 5, "config": config, "weights": weights, **rest}, tmp_path / "best.pt")
    checkpoint = load_checkpoint(tmp_path / "best.pt")
    assert checkpoint.config["model"]["_target_"] == "landmarks.models.builders.regressor"
    assert checkpoint.weights["head.center.mean"].equal(torch.ones(6))  # nothing else changes


def test_a_recipe_of_before_still_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my/optimizer").mkdir(parents=True)
    recipe = "_target_: landmarks.optimizers.adam\nlr: 1e-3\nweight_decay: -1\n"
    (tmp_path / "my/optimizer/mine.yaml").write_text(recipe)
    assert main(["train", "--config-dir", "my", "optimizer=mine"]) == 2
    assert "optimizer.weight_decay" in capsys.readouterr().err  # looked at by adam's signature
