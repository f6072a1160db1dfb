"""`flip_test`: what is found in faces and in their mirror images, together."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from landmarks.cli import main as cli
from landmarks.inference.rebuild_model import choose_flip
from landmarks.runs.checkpoint import load_checkpoint

FLIP = np.array([1, 0, 2, 4, 3])


@pytest.fixture
def symmetric(monkeypatch):
    """The faces' points, which are strewn at random, are taken to bear out `FLIP`."""
    monkeypatch.setattr(
        "landmarks.commands.training_run.training_inputs.choose_flip", lambda *_: FLIP
    )


def predict(out, *overrides):
    arguments = ["checkpoint=runs/a", "npz=true", "device=cpu", "amp=off", *overrides]
    assert cli.main(["predict", f"run_dir={out}", *arguments]) == 0
    with np.load(Path(out) / "predictions.npz") as stored:
        return stored["points"]


def test_a_run_is_validated_and_predicts_with_mirror_images(train, symmetric):
    train("run_dir=runs/a")
    train("run_dir=plain", "flip_test=false")
    assert train.are_equal("runs/a", "plain")  # it changes nothing in training
    errors = [train.metrics(run)[-1]["val_mse"] for run in ("runs/a", "plain")]
    assert errors[0] != errors[1]
    both, alone = predict("both"), predict("alone", "flip_test=false")
    assert np.array_equal(both, predict("again", "flip_test=true"))
    assert not np.array_equal(both, alone)


def test_without_a_known_symmetry_it_is_left_out_or_refused(train, capsys):
    train("run_dir=runs/a", "epochs=1")
    assert re.search(r"\b12 faces.*\b50\b", capsys.readouterr().out)
    assert load_checkpoint(Path("runs/a/best.pt")).flip is None
    assert np.array_equal(predict("as_it_is"), predict("alone", "flip_test=false"))
    assert cli.main(["predict", "checkpoint=runs/a", "flip_test=true", "run_dir=out"]) == 1
    assert "flip_test=true" in capsys.readouterr().err
    assert not Path("out").exists()


def test_an_older_checkpoint_has_its_layouts(train):
    train("run_dir=runs/a", "epochs=1")
    content = load_checkpoint(Path("runs/a/best.pt"))
    del content.config["flip_test"]
    content.layout["swap"] = [[0, 0, 1, 1]]
    older = {key: value for key, value in vars(content).items() if key != "flip"}
    torch.save({"format": 4, **older}, "old.pt")
    content = load_checkpoint(Path("old.pt"))
    assert choose_flip(content, None) is None
    assert torch.equal(choose_flip(content, True), torch.tensor([1, 0, 2, 3, 4]))
