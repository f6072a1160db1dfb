"""`landmarks compare` and `landmarks runs`: real runs beside one another."""

import csv
import json
import sys
from pathlib import Path

import cv2
import pytest
from made_runs import TINY

from landmarks.cli import main as cli
from landmarks.cli.command_line import gather_words


@pytest.fixture(scope="module")
def trained(write_contest, tmp_path_factory, commands_in):
    """Two runs on one split of 16 faces, one of them with its figures, and one on another."""
    folder = tmp_path_factory.mktemp("trained")
    made = write_contest(folder / "contest", train=16)
    with commands_in(folder):
        for name, words in (
            ("a", ["split.share=0.25", "report=true"]),
            ("b", ["split.share=0.25", "epochs=2", "loss=mse"]),
            ("c", ["split.share=0.5"]),
        ):
            words = [f"data.root={made.root}", f"run_dir={folder / 'runs' / name}", *TINY, *words]
            assert cli.main(["train", *words]) == 0
    return made, folder / "runs"


@pytest.fixture
def made(trained, copied):
    copied(trained[1], "runs")
    return trained[0]


def rows_of(path):
    with Path(path).open() as file:
        return list(csv.DictReader(file))


def test_runs_are_compared_on_the_faces_that_both_were_validated_on(made, capsys):
    assert cli.main(["compare", "runs/a", "runs/b", "run_dir=out", "device=cpu", "workers=0"]) == 0
    said = capsys.readouterr().out
    first, second = rows_of("out/comparison.csv")
    kept = json.loads(Path("runs/a/metrics.json").read_text())
    assert float(first["mse"]) == pytest.approx(kept["mse"], rel=1e-5)
    assert float(first["failure_rate.0.08"]) == kept["failure_rate"]["0.08"]
    trained = rows_of("runs/b/metrics.csv")
    best = min(float(row["val_mse"]) for row in trained)
    assert float(second["mse"]) == pytest.approx(best, rel=1e-4)
    worse = max((first, second), key=lambda row: float(row["mse"]))
    gap = abs(float(first["mse"]) - float(second["mse"]))
    assert float(worse["above_best"]) == pytest.approx(gap, rel=1e-3)
    assert float(worse["low"]) <= gap * 1.001 and float(worse["high"]) >= gap * 0.999
    assert "loss: default (a), mse (b)" in said and "epochs: 1 (a), 2 (b)" in said
    assert cv2.imread("out/curves.png") is not None
    assert not Path("runs/b/metrics.json").exists()  # a run stays as it is


def test_runs_on_other_faces_are_refused_with_their_number(made, capsys):
    words = ["runs/a", "runs/c", "run_dir=out", "device=cpu", "workers=0"]
    assert cli.main(["compare", *words]) == 1
    assert "(4 and 8, 4 of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code"),
    [(["runs/a"], 2), ([], 2), (["runs/a", "runs/x"], 1), (["runs/a", "./runs/b/../a"], 2)],
)
def test_what_cannot_be_compared_is_refused(made, words, code, capsys):
    assert cli.main(["compare", *words, "run_dir=out"]) == code
    assert capsys.readouterr().err.startswith("landmarks: ")


def test_bare_words_are_runs():
    assert gather_words("compare", ["a b", "x=1", "c,d"]) == ["x=1", 'runs=["a b","c,d"]']
    assert gather_words("train", ["a"]) == ["a"]
    assert gather_words("compare", ["--help", "runs"]) == ["--help", "runs"]
    assert gather_words("compare", ["-cd", "conf", "a"]) == ["-cd", "conf", 'runs=["a"]']


def test_all_runs_are_listed_the_best_first(made, capsys, monkeypatch):
    Path("runs/c/finished.json").unlink()
    assert cli.main(["runs", "csv=deep/runs.csv"]) == 0
    said = [line.split() for line in capsys.readouterr().out.splitlines()[1:4]]
    rows = rows_of("deep/runs.csv")
    assert [row["run"] for row in rows] == [line[0] for line in said]
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores)
    told = {row["run"]: row for row in rows}
    assert told["b"]["epochs"] == "2" and told["b"]["state"] == "finished"
    assert told["c"]["state"] == "stopped" and "split.share=0.5" in told["c"]["settings"]
    assert "loss=mse" in told["b"]["settings"] and "loss" not in told["a"]["settings"]
    assert Path(told["a"]["data"]).is_dir() and "data.root" not in told["a"]["settings"]
    monkeypatch.setenv("COLUMNS", "100")
    assert cli.main(["runs", "sort=run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[0] for line in lines[1:]] == ["a", "b", "c"]
    assert max(map(len, lines)) <= 120 and any(line.endswith("...") for line in lines)
    name = Path(told["a"]["data"]).name
    assert all(f" {name} " in line for line in lines[1:])


def test_a_list_of_runs_replaces_no_other_table(made, capsys):
    Path("labels.csv").write_text("file_name,x_0,y_0\n")
    assert cli.main(["runs", "csv=labels.csv"]) == 1
    assert "csv=labels.csv" in capsys.readouterr().err
    assert Path("labels.csv").read_text() == "file_name,x_0,y_0\n"
    for _ in range(2):
        assert cli.main(["runs", "csv=runs.csv"]) == 0


def test_no_runs_is_said_in_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["landmarks"])
    assert cli.main(["runs"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
