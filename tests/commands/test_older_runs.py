"""Runs of older versions: their checkpoints predict what they did, and training goes on."""

from pathlib import Path

import pytest
import torch

from landmarks.cli import main as cli
from landmarks.runs.checkpoint import load_checkpoint
from landmarks.runs.config_targets import MOVED
from landmarks.runs.older_formats import LATER


def before(settings):
    """Name functions by where they stood in format 5."""
    names = {new: old for old, new in MOVED.items()}
    if isinstance(settings, dict):
        return {key: before(value) for key, value in settings.items()}
    return names.get(settings, settings) if isinstance(settings, str) else settings


def write_older(run):
    """Write a run's files as format 5 had them, by a version that had the first settings alone."""
    for file in run.glob("*.pt"):
        content = torch.load(file, weights_only=True)
        config = {key: value for key, value in content["config"].items() if key not in LATER}
        config["data"] = {key: value for key, value in config["data"].items() if key != "exif"}
        state = content["training"] or {}
        later = ("planned_at", "planned_from", "schedule")
        state = {key: value for key, value in state.items() if key not in later}
        older = {key: content[key] for key in ("num_points", "layout", "metrics", "weights")}
        older |= {"training": state} if state else {}
        for row in [older["metrics"], *state.get("history", [])]:
            row["val_nme_box"] = row.pop("val_nme", row.get("val_nme_box"))  # one may be the other
        torch.save({"format": 5, "config": before(config), **older}, file)
        assert content["config"]["model"]["_target_"] != before(config)["model"]["_target_"]


def predict(out, *words):
    assert cli.main(["predict", "device=cpu", "amp=off", f"run_dir={out}", *words]) == 0
    return (Path(out) / "predictions.csv").read_text()


@pytest.mark.parametrize("crop", [[], ["crop=stretch", "optimizer=sgd", "scheduler=one_cycle"]])
def test_an_older_run_predicts_what_it_did_and_resumes_to_the_same_bits(train, crop, stop_at_step):
    older = ["augment=none", "flip_test=false", *crop]
    train("run_dir=whole", *older)
    with stop_at_step(4):
        train("run_dir=runs/parts", *older, code=143)
    expected = predict("now", "checkpoint=runs/parts", "round=false")
    write_older(Path("runs/parts"))
    assert predict("older", "checkpoint=runs/parts", "round=false") == expected
    assert cli.main(["train", "resume=runs/parts"]) == 0
    assert train.are_equal("whole", "runs/parts")
    state = load_checkpoint(Path("runs/parts/last.pt"))
    assert state.training["planned_at"] == 0 and state.config["flip_test"] is False
    assert all("val_nme" in row for row in state.training["history"])
