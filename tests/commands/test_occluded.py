"""Occluded points: left out of training by data.occluded=mask, and judged apart all the same."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
from made_runs import TINY

from landmarks.cli import main as cli

SETTINGS = [*TINY, "augment=none", "layout=none", "run_dir=run"]


def test_masked_points_are_judged_apart(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["landmarks"])
    rng = np.random.default_rng(0)
    rows = ["file_name," + ",".join(f"x_{k},y_{k},v_{k}" for k in range(3))]
    for i in range(12):
        cv2.imwrite(f"{i}.png", np.full((40, 40, 3), 90 + i, np.uint8))
        points = rng.normal(0, 1, (3, 2)) + np.array([[10, 12], [30, 12], [20, 30]])
        codes = [2, 1 + i % 2, 1]  # the last point is never visible
        numbers = np.hstack([points, np.array(codes)[:, None]]).ravel()
        rows.append(",".join([f"{i}.png", *map(str, numbers)]))
    Path("t.csv").write_text("\n".join(rows))
    data = ["data=table", "data.train=t.csv", "data.occluded=mask"]
    assert cli.main(["train", *data, *SETTINGS]) == 0
    assert "1 point (2)" in capsys.readouterr().out
    words = ["device=cpu", "amp=off", "workers=0", "run_dir=out", "checkpoint=run"]
    assert cli.main(["evaluate", *words]) == 0
    visible, occluded = json.loads(Path("out/metrics.json").read_text())["visibility"]
    # Of 3 validation faces; a point that no training face shows is not predicted, nor judged.
    assert (visible["n"], occluded["n"]) == (5, 1)
    assert visible["mean"] > 0 and "Occluded points: 1" in capsys.readouterr().out
    assert '<table id="visibility">' in Path("out/report.html").read_text()
