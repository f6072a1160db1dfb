"""Kaggle's second contest end to end: its submission, and the score that is reported of it."""

import csv
import json
import math
import sys
from pathlib import Path

import pytest
from made_runs import TINY

from landmarks.cli import main as cli
from landmarks.runs.checkpoint import load_checkpoint

SETTINGS = [*TINY, "augment=none", "run_dir=run"]


def test_submission_is_clipped_and_scores_as_reported(
    write_facial_keypoints, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["landmarks"])
    made = write_facial_keypoints(tmp_path / "set", train=16, test=4, side=48)
    data = ["data=facial_keypoints", "data.root=set"]
    assert cli.main(["train", *data, *SETTINGS]) == 0
    assert "RMSE" in capsys.readouterr().out
    trained = load_checkpoint(Path("run/best.pt"))
    assert trained.layout["name"] == "facial_keypoints" and trained.flip[:2] == [1, 0]
    assert 0 < trained.metrics["val_rmse"] < 48

    quiet = ["device=cpu", "amp=off", "workers=0", "checkpoint=run"]
    assert cli.main(["predict", *quiet, "run_dir=out"]) == 0
    with Path("out/submission.csv").open() as file:
        written = [*csv.DictReader(file)]
    assert [int(row["RowId"]) for row in written] == [row for row, _, _ in made.asked]
    places = [float(row["Location"]) for row in written]
    assert all(0 <= place <= 48 for place in places) and any(place % 1 for place in places)

    Path("truth").mkdir()
    Path("set/truth.csv").rename("truth/training.csv")
    judged = ["data=facial_keypoints", "data.root=truth", "report=false", "run_dir=judged"]
    assert cli.main(["evaluate", *quiet, *judged]) == 0
    reported = json.loads(Path("judged/metrics.json").read_text())["rmse"]
    features = {name: i for i, name in enumerate(trained.layout["names"])}
    truth = [
        round(made.truth[image - 1, features[name[:-2]], "xy".index(name[-1])], 4)
        for _, image, name in made.asked
    ]
    squares = [(place - true) ** 2 for place, true in zip(places, truth, strict=True)]
    assert math.sqrt(sum(squares) / len(squares)) == pytest.approx(reported, abs=1e-4)

    capsys.readouterr()
    text = Path("set/IdLookupTable.csv").read_text().replace("nose_tip", "chin")
    Path("set/IdLookupTable.csv").write_text(text)
    assert cli.main(["predict", *quiet, "run_dir=other"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
