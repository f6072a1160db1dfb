"""`landmarks train` with tiny settings, and what to ask of its runs."""

import csv
import os
import shutil
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from made_runs import TINY

from landmarks.cli import main as cli
from landmarks.runs.checkpoint import load_checkpoint
from landmarks.training.progress import Display
from landmarks.training.training_state import Training

SETTINGS = [*TINY, "epochs=2"]


@pytest.fixture(scope="module", autouse=True)
def all_narrow(narrow):
    """Let the networks of these tests be narrow."""


@pytest.fixture(scope="module")
def commands_in():
    """Let the runs of a whole module be made in a folder, with a cache of its own."""

    @contextmanager
    def work(folder):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            patch.setattr(sys, "argv", ["landmarks"])
            patch.setenv("LANDMARKS_CACHE", str(folder / "cache"))
            yield

    return work


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """Let a test work in a folder of its own, on copies of what its module has made."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["landmarks"])
    return shutil.copytree


class Train:
    """Runs `landmarks train` on a small data set, and reads what its runs have left."""

    def __init__(self, made):
        self.made = made

    def __call__(self, *overrides, code=0):
        assert cli.main(["train", f"data.root={self.made.root}", *SETTINGS, *overrides]) == code
        return self.made

    @staticmethod
    def metrics(run):
        with (Path(run) / "metrics.csv").open() as file:
            rows = list(csv.DictReader(file))
        return [{k: r[k] for k in ("epoch", "step", "lr", "train_loss", "val_mse")} for r in rows]

    @staticmethod
    def jobs_of(sweep, *states):
        """Return the rows of a sweep's table, a dict a job; they have come to these states."""
        with (Path(sweep) / "sweep.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [row["state"] for row in rows] == [*states]
        return rows

    @staticmethod
    def are_equal(first, second):
        """Say whether two runs have ended with the same bits."""
        first, second = (load_checkpoint(Path(run) / "last.pt").weights for run in (first, second))
        assert first.keys() == second.keys()
        return all(torch.equal(first[key], second[key]) for key in first)


@pytest.fixture
def train(contest, tmp_path, monkeypatch):
    """Run `landmarks train` in a folder of its own; see `Train`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["landmarks"])
    return Train(contest(train=16))


@pytest.fixture
def stop_at_step():
    """Send SIGTERM to this process when the step of that number begins, in this context."""

    @contextmanager
    def stop(step):
        def advance(training):
            if training.step == step:
                os.kill(os.getpid(), signal.SIGTERM)
            return original(training)

        with pytest.MonkeyPatch.context() as patch:
            original = Training.advance
            patch.setattr(Training, "advance", advance)
            yield

    return stop


@pytest.fixture
def clock(monkeypatch):
    clock = FakeClock()
    for module in ("landmarks.training.time_budget", "landmarks.commands.train"):
        monkeypatch.setattr(f"{module}.time.monotonic", clock.now)
    monkeypatch.setattr("landmarks.training.training_loop.time.perf_counter", clock.now)
    monkeypatch.setattr(Display, "is_due", lambda self, every: clock.advance(10))
    return clock


class FakeClock:
    """Ten seconds a step, whatever the machine does."""

    seconds = 0.0

    def now(self):
        return self.seconds

    def advance(self, seconds):
        self.seconds += seconds
        return False
