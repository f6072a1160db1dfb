"""Several data sets in one training, with weights and a map, from the command line."""

import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
from made_runs import TINY

from landmarks.cli import main as cli
from landmarks.commands.judging.judged_faces import with_occluded
from landmarks.runs.checkpoint import load_checkpoint

SETTINGS = [*TINY, "augment=none", "layout=none", "run_dir=run"]


def write_table(folder, names, count):
    Path(folder).mkdir()
    rng = np.random.default_rng(len(names))
    rows = ["file_name," + ",".join(f"{name}_{axis}" for name in names for axis in "xy")]
    for i in range(count):
        cv2.imwrite(f"{folder}/{i}.png", np.full((40, 40, 3), 90 + i, np.uint8))
        rows.append(",".join([f"{i}.png", *map(str, rng.uniform(5, 35, 2 * len(names)).round(1))]))
    Path(folder, "t.csv").write_text("\n".join(rows))


def test_occluded_points_of_each_set_are_judged():
    sets = [{"data": "coco", "occluded": "mask"}, {"data": "table"}]
    shown = with_occluded({"data": {"sets": sets, "limit": None}, "seed": 1})
    assert shown["data"]["sets"] == [{"data": "coco", "occluded": "train"}, {"data": "table"}]
    assert sets[0]["occluded"] == "mask" and shown["seed"] == 1


def test_sets_are_trained_on_and_judged_together(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["landmarks"])
    write_table("a", ["eye", "nose", "chin"], 8)
    write_table("b", ["p", "q"], 4)
    Path("map.txt").write_text("p nose\nq chin\n")
    sets = "{data: table, train: a/t.csv}, {data: table, train: b/t.csv, map: map.txt, weight: 3}"
    assert cli.main(["train", "data=several", f"data.sets=[{sets}]", *SETTINGS]) == 0
    trained = load_checkpoint(Path("run/best.pt"))
    assert trained.num_points == 3 and trained.config["data"]["sets"][1]["weight"] == 3
    # 6 faces of a once and 3 of b three times: 15, three batches of 4.
    assert trained.metrics["step"] == 3
    capsys.readouterr()
    words = ["device=cpu", "amp=off", "workers=0", "checkpoint=run", "report=false", "run_dir=out"]
    assert cli.main(["evaluate", *words]) == 0
    assert "3 faces (val)" in capsys.readouterr().out
    assert cli.main(["train", "data=several", *SETTINGS[:-1], "run_dir=other"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_set_that_is_there_twice_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["landmarks"])
    write_table("a", ["eye", "nose", "chin"], 8)
    shutil.copytree("a", "b")
    sets = "{data: table, train: a/t.csv}, {data: table, train: b/t.csv}"
    assert cli.main(["train", "data=several", f"data.sets=[{sets}]", *SETTINGS]) == 0
    said = capsys.readouterr()
    assert "'b/0.png' of data.sets[1] is 'a/0.png' of data.sets[0]" in said.out + said.err
