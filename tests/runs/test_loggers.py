"""Those who are told of a run: all of them, and none of them can end it."""

import logging
import sys

import numpy as np
import pytest

from landmarks.errors import UserError
from landmarks.runs.loggers import Logger, Trackers
from landmarks.runs.mlflow import Mlflow
from landmarks.runs.wandb import Wandb

PICTURE = np.zeros((4, 4, 3), np.uint8)


class Noting(Logger):
    """Notes what it is told; fails at what it shall."""

    def __init__(self, run_dir, fails_at=None):
        super().__init__(run_dir)
        self.told, self.fails_at = [], fails_at
        for name in ("begin", "log_epoch", "log_picture", "end"):
            setattr(self, name, lambda *given, name=name: self.note(name))

    def note(self, name):
        self.told.append(name)
        if name == self.fails_at:
            raise OSError(f"no disk for {name}")


def tell_all(trackers):
    trackers.begin({"epochs": 2})
    for _ in range(2):
        trackers.log_epoch([{"step": 1}], 0.5)
        trackers.log_picture("faces", PICTURE, 1)
    trackers.end("finished")
    trackers.close()


@pytest.mark.parametrize("hook", ["begin", "log_epoch", "log_picture", "end"])
def test_one_that_fails_is_left_out_with_one_warning(hook, tmp_path, caplog):
    good, bad = Noting(tmp_path), Noting(tmp_path, fails_at=hook)
    with caplog.at_level(logging.WARNING):
        tell_all(Trackers(tmp_path, {"bad": bad, "good": good}))
    picture = ["log_epoch", "log_picture"]
    assert good.told == ["begin", *picture, *picture, "end"]
    assert bad.told.count(hook) == 1 and bad.told[-1] == hook
    (record,) = caplog.records
    assert "logger=bad" in record.getMessage() and f"no disk for {hook}" in record.getMessage()


def test_a_run_that_breaks_off_is_told_as_failed(tmp_path):
    class Ends(Noting):
        def note(self, name):
            self.told.append(name)

    begun, unbegun = Noting(tmp_path), Noting(tmp_path)
    trackers = Trackers(tmp_path, {"a": begun})
    trackers.begin({})
    trackers.close()
    assert begun.told == ["begin", "end"]
    Trackers(tmp_path, {"a": unbegun}).close()
    assert unbegun.told == []


@pytest.mark.parametrize(("kind", "package"), [(Mlflow, "mlflow"), (Wandb, "wandb")])
def test_a_package_that_is_not_here_is_named(kind, package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"logger={package} .*'landmarks\[{package}\]'"):
        kind(tmp_path)
