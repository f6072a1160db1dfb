"""Points that no face has labelled, and parts without labels: said before training and after."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from landmarks.cli import main as cli
from landmarks.runs.checkpoint import load_checkpoint


@pytest.fixture
def blank(train):
    """Take the labels of some columns out of some lines of the training file."""

    def blank(lines, columns):
        path = train.made.root / "train/landmarks.csv"
        rows = [line.split("\t") for line in path.read_text().splitlines()]
        for row in rows[lines]:
            row[columns] = [""] * len(row[columns])
        path.write_text("".join("\t".join(row) + "\n" for row in rows))

    return blank


def predict(out, *overrides):
    arguments = ["predict", "device=cpu", "amp=off", f"run_dir={out}", *overrides]
    assert cli.main(arguments) == 0
    with (Path(out) / "predictions.csv").open() as file:
        return list(csv.reader(file))[1:]


def test_their_coordinates_stay_empty(train, blank, capsys):
    blank(np.s_[1:], np.s_[5:7])
    made = train("run_dir=a", "epochs=1")
    assert "landmarks.csv: 1 point (2)." in capsys.readouterr().out
    for row in predict("out", "npz=true", "checkpoint=a"):
        assert [i for i, field in enumerate(row) if not field] == [5, 6]
    said = capsys.readouterr().out
    assert "1 point (2)." in said
    assert f" {(made.wanted == 2).sum()} number" in said
    with np.load("out/predictions.npz") as stored:
        empty = np.isnan(stored["points"]).all((0, 2))
    assert empty.tolist() == [False, False, True, False, False]
    content = load_checkpoint(Path("a/best.pt"))
    older = {key: value for key, value in vars(content).items() if key != "unlabelled"}
    torch.save({"format": 5, **older}, "old.pt")
    assert all(all(row) for row in predict("old", "checkpoint=old.pt"))


def test_what_mirror_images_teach_is_known(train, blank, monkeypatch):
    blank(np.s_[1:], np.s_[5:9])
    flip = np.array([2, 1, 0, 3, 4])
    monkeypatch.setattr(
        "landmarks.commands.training_run.training_inputs.choose_flip", lambda *_: flip
    )
    train("run_dir=a", "epochs=1")
    assert load_checkpoint(Path("a/best.pt")).unlabelled == [3]
    train("run_dir=b", "epochs=1", "augment.flip=0")
    assert load_checkpoint(Path("b/best.pt")).unlabelled == [2, 3]


@pytest.mark.parametrize(
    ("lines", "said"), [(np.s_[13:], "4 validation"), (np.s_[1:13], "12 training")]
)
def test_a_part_without_labels_is_refused_before_training(train, blank, lines, said, capsys):
    blank(lines, np.s_[1:])
    train("run_dir=a", code=1)
    captured = capsys.readouterr()
    assert f"{said} faces" in captured.err and captured.err.count("\n") == 1
    assert "parameters" not in captured.out  # no model was built
    assert not Path("a").exists()
