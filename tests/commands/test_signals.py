"""SIGTERM at any time: what was made is saved or removed, and the exit code says so."""

import os
import signal
from pathlib import Path

import pytest

from landmarks.cli import main as cli
from landmarks.runs.checkpoint import load_checkpoint
from landmarks.training import validation


@pytest.fixture
def terminate_in(monkeypatch):
    """Send SIGTERM to this process where a function is called; the first time that it is."""

    def patch(place):
        module, _, name = place.rpartition(".")
        original = getattr(__import__(module, fromlist=[name]), name)
        sent = []

        def call(*args, **settings):
            if not sent:
                sent.append(os.kill(os.getpid(), signal.SIGTERM))
            return original(*args, **settings)

        monkeypatch.setattr(place, call)

    return patch


@pytest.mark.parametrize(
    "place",
    [
        "landmarks.data.formats.thousand.map_labels",
        "landmarks.data.images.check_images._decode_all",
        "landmarks.data.batches.cached_crops.fill",
        "landmarks.commands.train.check_memory",
        "landmarks.commands.training_run.training_inputs.save_picture",
        "landmarks.commands.train.graceful_stop",
    ],
)
def test_before_the_first_step_nothing_is_left(place, train, terminate_in, cache, tmp_path, capsys):
    terminate_in(place)
    train(code=143)
    assert "landmarks: Stopped." in capsys.readouterr().err
    assert not list((tmp_path / "runs").iterdir())
    assert not list(cache.rglob(".*"))
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_in_check_and_predict_nothing_is_left(train, terminate_in, tmp_path):
    made = train("run_dir=runs/a", "epochs=1")
    before = sorted(tmp_path.rglob("*"))
    root = f"data.root={made.root}"
    terminate_in("landmarks.commands.check.inspect")
    assert cli.main(["check", root]) == 143
    terminate_in("landmarks.outputs.predictions._quote")
    assert cli.main(["predict", root, "npz=true", "device=cpu"]) == 143
    assert sorted(tmp_path.rglob("*")) == before


def test_in_validation_the_epoch_is_saved_and_validated_on_resume(train, monkeypatch):
    train("run_dir=whole", "epochs=1")
    predict, seen = validation._predict, []

    def stop_at_first(*arguments):
        for batch in predict(*arguments):
            if not seen:
                seen.append(os.kill(os.getpid(), signal.SIGTERM))
            yield batch

    monkeypatch.setattr(validation, "_predict", stop_at_first)
    train("run_dir=runs/parts", "epochs=1", "batch_size=2", code=143)
    saved = load_checkpoint(Path("runs/parts/last.pt")).training
    assert (saved["epoch"], saved["batch"], saved["history"]) == (0, 6, [])
    assert not Path("runs/parts/best.pt").exists()
    assert cli.main(["train", "resume=runs/parts"]) == 0
    assert len(train.metrics("runs/parts")) == 1


def test_a_killed_process_s_parts_are_swept_at_the_next_start(train, tmp_path):
    train("run_dir=runs/a", "epochs=1")
    gone = Path("runs/a") / f".{os.getpid()}.0@{os.uname().nodename}~predictions.csv"
    gone.touch()
    assert cli.main(["predict", "checkpoint=nowhere"]) == 1
    assert not gone.exists()
