"""Runs that are taken up again for longer, or have nothing left to do."""

import re
from pathlib import Path

import pytest
import torch

from landmarks.cli import main as cli
from landmarks.commands import train as train_command
from landmarks.commands.training_run.training_length import compare_thawed
from landmarks.losses import l1
from landmarks.models.builders import regressor
from landmarks.runs.checkpoint import load_checkpoint
from landmarks.training import training_loop
from landmarks.training.memory_estimate import estimate_step
from landmarks.training.optimizers import adamw
from landmarks.training.precision import Precision
from landmarks.training.schedules import Constant
from landmarks.training.training_state import Training

FILES = ("last.pt", "best.pt", "finished.json", "metrics.csv", "augmented.png")


def training_of(run):
    return load_checkpoint(Path(run) / "last.pt").training


@pytest.fixture
def seen(monkeypatch):
    """The progress at each step."""
    found, original = [], Training.advance

    def advance(training):
        found.append(training.progress)
        return original(training)

    monkeypatch.setattr(Training, "advance", advance)
    return found


def test_a_finished_run_has_nothing_left_to_do_and_is_left_as_it_was(train, capsys):
    train("run_dir=runs/a", "epochs=1")
    before = [((Path("runs/a") / name).read_bytes()) for name in FILES]
    for more in ([], ["epochs=1"], ["max_time=2h"]):
        assert cli.main(["train", "resume=runs/a", *more]) == 1
        error = capsys.readouterr().err
        assert "epoch 1" in error and "epochs= (now 1) above 1" in error
        assert len(error.strip().splitlines()) == 1
    assert before == [((Path("runs/a") / name).read_bytes()) for name in FILES]


def test_a_finished_run_is_refused_before_the_data_are_read(train, capsys):
    made = train("run_dir=runs/a", "epochs=1")
    (made.root / "train/landmarks.csv").unlink()
    assert cli.main(["train", "resume=runs/a"]) == 1
    assert "epochs= (now 1)" in capsys.readouterr().err
    assert cli.main(["train", "resume=runs/a", "epochs=2"]) == 1
    assert "landmarks.csv" in capsys.readouterr().err


def test_more_epochs_go_on_as_if_they_had_been_asked_for_at_first(train, seen, capsys):
    train("run_dir=runs/a", "epochs=1")
    assert cli.main(["train", "resume=runs/a", "epochs=2"]) == 0
    assert [row["epoch"] for row in train.metrics("runs/a")] == ["1", "2"]
    assert seen == [0, 1 / 3, 2 / 3, 3 / 6, 4 / 6, 5 / 6]
    assert " 50 %" in capsys.readouterr().out
    assert Path("runs/a/finished.json").exists()


def test_a_run_that_was_killed_before_it_could_say_that_it_was_done_is_done(train, seen):
    train("run_dir=runs/a", "epochs=1")
    for name in ("finished.json", "metrics.csv"):
        (Path("runs/a") / name).unlink()
    seen.clear()
    assert cli.main(["train", "resume=auto"]) == 0
    assert Path("runs/a/finished.json").exists() and not seen
    assert [row["epoch"] for row in train.metrics("runs/a")] == ["1"]


def test_max_time_is_what_all_sessions_take_together(train, clock, seen, stop_at_step):
    train("run_dir=whole", "epochs=null", "max_time=5m")
    steps = training_of("whole")["step"]
    seen.clear()
    clock.seconds = 1e4
    with stop_at_step(steps - 6):
        train("run_dir=runs/a", "epochs=null", "max_time=5m", code=143)
    spent = clock.seconds - 1e4
    assert training_of("runs/a")["seconds"] == spent > 100
    clock.seconds = 1e6
    assert cli.main(["train", "resume=runs/a"]) == 0
    assert spent + clock.seconds - 1e6 <= 300
    assert training_of("runs/a")["seconds"] == spent + clock.seconds - 1e6
    assert seen == sorted(seen) and seen[-1] > 0.9
    assert abs(training_of("runs/a")["step"] - steps) <= 4


def test_a_longer_max_time_extends_a_run_that_an_equal_one_does_not(train, clock, seen, capsys):
    train("run_dir=runs/a", "epochs=null", "max_time=5m")
    before = training_of("runs/a")
    for more in ([], ["max_time=5m"], ["max_time=4m"], ["epochs=1000"]):
        assert cli.main(["train", "resume=runs/a", *more]) == 1
        error = capsys.readouterr().err
        assert "max_time= (now " in error and ("above 5m" in error) == (more == ["max_time=4m"])
    seen.clear()
    begun = clock.seconds
    assert cli.main(["train", "resume=runs/a", "max_time=10m"]) == 0
    after = training_of("runs/a")
    assert after["step"] > 1.6 * before["step"]
    assert before["seconds"] + clock.seconds - begun <= 600
    assert 0.4 < seen[0] < 0.6 and seen == sorted(seen)
    assert float(train.metrics("runs/a")[-1]["lr"]) < 1e-4


def test_epochs_are_what_ended_a_run_that_had_time_left(train, clock, capsys):
    train("run_dir=runs/a", "epochs=1", "max_time=10m")
    assert cli.main(["train", "resume=runs/a", "max_time=20m"]) == 1
    error = capsys.readouterr().err
    assert "epochs= (now 1)" in error
    assert cli.main(["train", "resume=runs/a", "epochs=2"]) == 0
    assert cli.main(["train", "resume=runs/a", "epochs=1"]) == 1
    assert "epochs= (now 1) above 2" in capsys.readouterr().err


def test_patience_ends_a_run_whose_error_no_longer_falls(train, seen, capsys, monkeypatch):
    errors, original = iter([5.0, 4.0, 4.5, 4.2, 4.1, 3.0, 2.0]), train_command.validate
    monkeypatch.setattr(
        train_command, "validate", lambda *a, **o: original(*a, **o) | {"mse": next(errors)}
    )
    train("run_dir=runs/a", "epochs=9", "patience=2")
    assert [row["val_mse"] for row in train.metrics("runs/a")] == ["5.0", "4.0", "4.5", "4.2"]
    for more in ([], ["epochs=20"], ["patience=1"]):
        assert cli.main(["train", "resume=runs/a", *more]) == 1
        assert re.search(r"patience= \(now [12]\) above 2\b", capsys.readouterr().err)
    Path("runs/a/finished.json").unlink()  # as if it had been killed before it could say so
    seen.clear()
    assert cli.main(["train", "resume=auto"]) == 0 and not seen
    assert cli.main(["train", "resume=runs/a", "patience=3", "epochs=6"]) == 0
    assert len(train.metrics("runs/a")) == 5  # the third without a lower error
    assert cli.main(["train", "resume=runs/a", "patience=null", "epochs=6"]) == 0
    assert len(train.metrics("runs/a")) == 6 and Path("runs/a/finished.json").exists()


def test_validation_is_no_waiting_for_data(train, clock, monkeypatch):
    def slow(function, seconds):
        def call(*args, **options):
            clock.advance(seconds)
            return function(*args, **options)

        return call

    monkeypatch.setattr(train_command, "validate", slow(train_command.validate, 1000))
    monkeypatch.setattr(training_loop.Display, "timed", waits(clock))
    train("run_dir=runs/a", "epochs=1")
    row = Path("runs/a/metrics.csv").read_text().splitlines()
    share = dict(zip(*(line.split(",") for line in row), strict=True))["data_wait"]
    assert float(share) == 0.6  # three waits of 10 s, and two steps of 10 s that are counted


def waits(clock):
    def timed(display, batches):
        for batch in batches:
            clock.advance(10)
            display.waited += 10
            yield batch

    return timed


@pytest.mark.parametrize(("freeze", "epoch"), [("none", 0), ("backbone", 0), (2, 2), (2, 0)])
def test_a_step_costs_more_once_the_backbone_is_not_frozen(freeze, epoch):
    model = regressor(
        backbone="resnet34",
        weights="none",
        freeze=freeze,
        num_points=3,
        input_size=32,
        elementwise=l1,
    )
    training = Training(
        model, adamw(model, lr=1e-3), Constant(), Precision("off", torch.device("cpu")), epoch=epoch
    )
    shapes = (2, 3, 32, 32), (2, 3, 2)
    thaw = compare_thawed(training, estimate_step(training, *shapes), *shapes)
    if (freeze, epoch) == (2, 0):
        assert 2.5 < thaw <= 3
        assert compare_thawed(training, None, *shapes) == 3
    else:
        assert thaw == 1
