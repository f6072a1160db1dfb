"""Searches: a study that jobs share, its first trial the given settings, pruning, and going on."""

import csv
import json
from pathlib import Path

import pytest

pytest.importorskip("optuna")
SEARCH = (
    "-m hparams_search=regression search.trials=2 epochs=1 "
    "search.space.augment=null search.space.ema=null".split()
)


def rows(sweep):
    with (Path(sweep) / "sweep.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_search_begins_with_the_given_settings_and_goes_on_in_its_file(train):
    train(*SEARCH, "optimizer.lr=0.003", "run_dir=a")
    first = sorted(rows("a"), key=lambda row: row["job"])
    assert float(first[0]["optimizer.lr"]) == pytest.approx(0.003)
    assert float(first[0]["optimizer.weight_decay"]) == pytest.approx(0.01)
    assert 1e-4 <= float(first[1]["optimizer.lr"]) <= 1e-2
    assert first[1]["optimizer.lr"] != first[0]["optimizer.lr"]
    saved = json.loads(Path("a/0/finished.json").read_text())
    assert float(first[0]["val_mse"]) == pytest.approx(saved["val_mse"], abs=1e-3)

    import optuna

    train(*SEARCH, "search.study=a/study.log", "run_dir=b")
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend("a/study.log")
    )
    trials = optuna.load_study(study_name=None, storage=storage).trials
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    assert all(trial.state.name == "COMPLETE" for trial in trials)
    assert len({trial.params["optimizer.lr"] for trial in trials}) == 4


def test_a_trial_that_others_are_better_than_ends(train, monkeypatch):
    monkeypatch.setattr("landmarks.runs.search_study.FIRST", 1)
    # One of the two rates can only do harm.
    space = "+search.space.optimizer.lr.choices=[0.0001,1.0]"
    train(*SEARCH, space, "search.trials=5", "epochs=3", "optimizer.lr=0.0001", "run_dir=a")
    first, *_ = found = sorted(rows("a"), key=lambda row: row["job"])
    assert (first["state"], first["epochs"]) == ("finished", "3")
    harmed = [row for row in found if row["optimizer.lr"] == "1"]
    assert harmed and {(row["state"], row["epochs"]) for row in harmed} == {("pruned", "1")}
    assert Path(f"a/{harmed[0]['job']}/finished.json").is_file()


def test_what_cannot_be_searched_is_refused(train, capsys):
    train("hparams_search=regression", code=2)
    assert "add -m" in capsys.readouterr().err
    train(*SEARCH, "+search.space.model={sigma: {low: 1.0, high: 2.0}}", code=1)
    assert "'model.sigma'" in capsys.readouterr().err


@pytest.mark.parametrize("study", ["nowhere/study.log", "a/study.log", "study.log", "labels.csv"])
def test_a_named_study_must_be_one(study, train, capsys):
    Path("a").mkdir()
    Path("a/multirun.yaml").touch()  # an earlier sweep
    Path("labels.csv").write_text("file_name,x_0\n")
    train(*SEARCH, f"search.study={study}", "run_dir=b", code=2)
    error = capsys.readouterr().err
    assert f"search.study={study}" in error and "Traceback" not in error
    assert Path("labels.csv").read_text() == "file_name,x_0\n"
    assert not Path("b").exists() and (study == "labels.csv" or not Path(study).exists())
