"""Run folders: what a refused start takes away again, and whose folder is not touched."""

from pathlib import Path

import pytest
from refusals import refused

from landmarks.runs.find_runs import FAILED, FINISHED, Leftovers, mark_failure, refuse_taken


def start(run):
    """Make what a start makes before it can be refused."""
    (run / ".hydra").mkdir(parents=True, exist_ok=True)
    (run / ".hydra/config.yaml").touch()
    (run / "train.log").touch()


def test_a_refused_start_takes_its_own_folder_away(tmp_path):
    for place in (None, tmp_path / "run"):
        leftovers = Leftovers(place)
        start(tmp_path / "run")
        leftovers.remove(tmp_path / "run")
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("inside", [[], ["notes.log"], ["notes.log", "more/notes.log"], ["a.txt"]])
def test_a_folder_that_was_there_stays_with_all_that_was_in_it(inside, tmp_path):
    run = tmp_path / "run"
    for name in inside:
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).touch()
    run.mkdir(exist_ok=True)
    before = sorted(run.rglob("*"))
    leftovers = Leftovers(run)
    start(run)
    leftovers.remove(run)
    assert run.is_dir() and sorted(run.rglob("*")) == before


def test_what_holds_results_or_was_named_by_a_pattern_stays(tmp_path):
    leftovers = Leftovers(tmp_path / "run")
    start(tmp_path / "run")
    (tmp_path / "run/predictions.csv").touch()
    leftovers.remove(tmp_path / "run")
    assert (tmp_path / "run/train.log").is_file()
    start(tmp_path / "old/x-1")
    Leftovers(tmp_path / "old").remove(tmp_path / "old/x-1")
    assert (tmp_path / "old/x-1/train.log").is_file()


@pytest.mark.parametrize("name", ["last.pt", "best.pt", "split.npz", "train.log"])
def test_no_other_command_writes_into_a_training_run(name, tmp_path):
    (tmp_path / name).touch()
    for command in ("predict", "check"):
        with refused(tmp_path):
            refuse_taken(tmp_path, command)
    if name.endswith(".pt"):
        with refused(f"resume={tmp_path}"):
            refuse_taken(tmp_path, "train")
    else:
        refuse_taken(tmp_path, "train")  # nothing has been trained there


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("predictions.csv", "predict"),
        ("submission.csv", "ensemble"),
        ("metrics.json", "evaluate"),
        ("comparison.csv", "compare"),
        ("sheet-1.jpg", "show"),
        ("suspects.csv", "check"),
    ],
)
def test_no_command_writes_among_the_results_of_another(name, owner, tmp_path):
    (tmp_path / name).touch()
    (tmp_path / f"{owner}.log").touch()
    for command in ("train", "predict", "ensemble", "evaluate", "show", "compare", "check"):
        if command == owner and owner in ("evaluate", "compare", "show"):
            refuse_taken(tmp_path, command)  # all that it has left is replaced
            continue
        with refused(f"run_dir={tmp_path}"):
            refuse_taken(tmp_path, command)


def test_a_kfold_goes_on_in_its_folder(tmp_path):
    for name in ("predictions.csv", "metrics.json", "kfold.json", "train.log"):
        (tmp_path / name).touch()
    refuse_taken(tmp_path, "train")


@pytest.mark.parametrize("inside", ["", "run"])
def test_a_file_is_no_folder_for_a_run(inside, tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("notes")
    for command in ("train", "predict", "check"):
        with refused("run_dir=", file):
            refuse_taken(file / inside, command)
    assert file.read_text() == "notes"


def test_a_finished_run_that_could_not_be_trained_on_stays_finished(tmp_path):
    (tmp_path / FINISHED).write_text("{}")
    with pytest.raises(ValueError, match="three"), mark_failure(tmp_path):
        raise ValueError("three")
    assert [path.name for path in tmp_path.iterdir()] == [FINISHED]


def test_a_note_that_cannot_be_written_leaves_the_old_one_and_the_error(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no room")

    (tmp_path / FAILED).write_text("old")
    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(ValueError, match="three"), mark_failure(tmp_path):
        raise ValueError("three")
    assert (tmp_path / FAILED).read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == [FAILED]


def test_an_error_is_noted_and_a_stop_is_not(tmp_path):
    with pytest.raises(KeyboardInterrupt), mark_failure(tmp_path):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="three"), mark_failure(tmp_path):
        raise ValueError("three")
    assert (tmp_path / FAILED).read_text() == "ValueError: three\n"
