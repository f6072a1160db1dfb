"""`landmarks train` on a small data set: what a run leaves, and that it can go on."""

import csv
import json
import os
import signal
import sys
from pathlib import Path

import cv2
import pytest
import torch

from landmarks import cli
from landmarks.checkpoint import load_checkpoint
from landmarks.commands.build import rebuild_model
from landmarks.models.backbones import Backbone
from landmarks.progress import Display
from landmarks.training import Training

TINY = [
    *("model=resnet18", "model.weights=none", "input_size=32", "batch_size=4", "epochs=2"),
    *("split.share=0.25", "amp=off", "device=cpu", "workers=0"),
]


@pytest.fixture
def train(contest, tmp_path, monkeypatch):
    """Run `landmarks train` in a folder of its own with tiny settings."""
    made = contest(train=16)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["landmarks"])

    def run(*overrides, code=0):
        root = f"data.root={made.root}"
        assert cli.main(["train", root, *TINY, *overrides]) == code
        return made

    return run


def weights_of(path):
    return load_checkpoint(Path(path))["weights"]


def assert_equal(first, second):
    assert first.keys() == second.keys()
    different = [key for key in first if not torch.equal(first[key], second[key])]
    assert not different


def metrics(run):
    with (Path(run) / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [{k: r[k] for k in ("epoch", "step", "lr", "train_loss", "val_mse")} for r in rows]


def test_a_run_leaves_checkpoints_metrics_and_pictures(train, tmp_path):
    train("name=first")
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.endswith("-first") and "=" not in run.name
    left = {path.name for path in run.iterdir()}
    assert left == {
        *(".hydra", "best.pt", "last.pt", "metrics.csv", "curves.png", "faces.png"),
        *("augmented.png", "split.npz", "train.log", "finished.json"),
    }
    assert [row["epoch"] for row in metrics(run)] == ["1", "2"]
    content = load_checkpoint(run / "best.pt")
    assert content["num_points"] == 5 and content["layout"]["name"] == "none"
    assert content["config"]["model"]["backbone"] == "resnet18"
    json.dumps({k: v for k, v in content.items() if k != "weights"})  # plain data
    assert "training" not in content


def test_heatmaps_are_pictured_and_their_confidence_kept(train):
    unet = ("model=unet_resnet18", "model.weights=none", "model.fuse=false", "epochs=1")
    train(*unet, "tensorboard=true", "run_dir=a")
    picture = cv2.imread("a/heatmaps.png")
    assert picture.shape == (4 * 320, 2 * 320, 3)  # faces; target and prediction of all points
    with Path("a/metrics.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert 0 <= float(row["val_confidence"]) <= 1
    events = b"".join(path.read_bytes() for path in Path("a").glob("events.out.*"))
    assert b"heatmaps" in events and b"val_confidence" in events


def test_an_unknown_region_is_refused(train, tmp_path, capsys):
    train("pictured_region=jaw", code=1)
    assert "pictured_region=jaw is no region of layout none" in capsys.readouterr().err
    assert not list((tmp_path / "runs").iterdir())


def test_a_name_never_becomes_a_path(train, tmp_path):
    train("name=../../x", "epochs=1")
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.endswith("-.._.._x") and (run / "best.pt").is_file()


def test_a_run_that_fails_at_its_model_leaves_no_folder(train, tmp_path):
    train("model.weights=nowhere.pth", code=1)
    assert not list((tmp_path / "runs").iterdir())


def test_an_unknown_backbone_is_a_wrong_command_line(train, capsys):
    train("model.backbone=resnet81", code=2)
    assert "Did you mean 'resnet18'?" in capsys.readouterr().err


def test_same_seed_same_weights(train):
    train("run_dir=a")
    train("run_dir=b")
    train("run_dir=c", "seed=1")
    assert_equal(weights_of("a/last.pt"), weights_of("b/last.pt"))
    with pytest.raises(AssertionError):
        assert_equal(weights_of("a/last.pt"), weights_of("c/last.pt"))


@pytest.mark.parametrize(
    "extra", [[], ["accumulate=2", "scheduler=plateau", "ema=0", "clip=1", "max_time=10m"]]
)
@pytest.mark.parametrize("stop_at", [1, 2, 5])
def test_stopped_and_resumed_equals_uninterrupted(train, extra, stop_at, monkeypatch, capsys):
    train("run_dir=whole", *extra)
    stops = StopAt(stop_at)
    monkeypatch.setattr(Training, "advance", stops)
    train("run_dir=runs/parts", *extra, code=143)
    monkeypatch.undo_once()
    saved = load_checkpoint(Path("runs/parts/last.pt"))["training"]
    assert (saved["epoch"], saved["batch"]) != (0, 0) and saved["step"] == stop_at + 1
    assert not Path("runs/parts/finished.json").exists()
    assert "landmarks train resume=" in capsys.readouterr().out
    assert cli.main(["train", "resume=auto"]) == 0
    assert_equal(weights_of("whole/last.pt"), weights_of("runs/parts/last.pt"))
    assert metrics("whole") == metrics("runs/parts")
    first, second = (
        load_checkpoint(Path(run) / "last.pt")["training"] for run in ("whole", "runs/parts")
    )
    assert str(first["optimizer"]) == str(second["optimizer"])
    assert Path("runs/parts/finished.json").exists()


@pytest.mark.parametrize("stop_at", [1, 2, 4])
def test_stopped_while_frozen_or_after_and_resumed_equals_uninterrupted(
    train, stop_at, monkeypatch
):
    """Three batches an epoch, two a step; the backbone is frozen in the first of two epochs."""
    torch.save(Backbone("resnet18").state_dict(), "weights.pth")
    extra = ["model.weights=weights.pth", "model.freeze=1", "model.norm=group", "accumulate=2"]
    extra += ["optimizer.backbone_lr_scale=0.1", "optimizer.layer_decay=0.5"]
    train("run_dir=whole", *extra)
    monkeypatch.setattr(Training, "advance", StopAt(stop_at))
    train("run_dir=runs/parts", *extra, code=143)
    monkeypatch.undo_once()
    assert cli.main(["train", "resume=auto"]) == 0
    assert_equal(weights_of("whole/last.pt"), weights_of("runs/parts/last.pt"))
    first, second = (
        load_checkpoint(Path(run) / "last.pt")["training"] for run in ("whole", "runs/parts")
    )
    assert str(first["optimizer"]) == str(second["optimizer"])


def test_a_basis_of_shapes_is_trained_resumed_and_predicts_alone(train, capsys):
    extra = ("model.basis=pca", "augment=strong")
    train("run_dir=runs/a", "epochs=1", *extra, "model.components=40", code=1)
    assert "model.components=10 or less" in capsys.readouterr().err  # 5 points
    train("run_dir=runs/a", "epochs=1", *extra, "model.components=3")
    assert cli.main(["train", "resume=runs/a", "epochs=2"]) == 0
    content = load_checkpoint(Path("runs/a/last.pt"))
    modes = content["weights"]["head.offsets.modes"]
    assert modes.shape == (3, 10) and modes.any(1).all()
    rebuilt = rebuild_model(content).state_dict()
    assert_equal(rebuilt, content["weights"])


def test_freezing_random_weights_is_refused(train, capsys):
    train("model.freeze=backbone", code=1)
    assert "it has learnt nothing" in capsys.readouterr().err


class StopAt:
    """Sends SIGTERM to this process when the step `at` begins."""

    original = Training.advance

    def __init__(self, at):
        self.at = at

    def __get__(self, training, owner):
        def call():
            if training.step == self.at:
                os.kill(os.getpid(), signal.SIGTERM)
            return StopAt.original(training)

        return call


@pytest.fixture
def monkeypatch(monkeypatch):
    """monkeypatch that can take back its last change alone."""

    def undo_once():
        target, name, value = monkeypatch._setattr.pop()
        setattr(target, name, value)

    monkeypatch.undo_once = undo_once
    return monkeypatch


def test_resume_with_more_epochs_goes_on(train):
    train("run_dir=runs/a", "epochs=1")
    assert cli.main(["train", "resume=runs/a", "epochs=2"]) == 0
    assert [row["epoch"] for row in metrics("runs/a")] == ["1", "2"]


def test_resume_with_another_batch_size_counts_in_the_new_one(train, monkeypatch, capsys):
    monkeypatch.setattr(Training, "advance", StopAt(0))
    train("run_dir=runs/a", "batch_size=8", code=143)
    monkeypatch.undo_once()
    assert cli.main(["train", "resume=runs/a", "batch_size=4"]) == 0
    assert "epoch 1, batch 3." in capsys.readouterr().out  # a batch of 8 faces is two of 4
    assert [row["step"] for row in metrics("runs/a")] == ["3", "6"]


def test_resume_auto_without_an_unfinished_run_starts_anew(train, tmp_path):
    train("epochs=1")
    train("epochs=1", "resume=auto")
    assert len(list((tmp_path / "runs").iterdir())) == 2


@pytest.mark.parametrize(
    ("path", "sentence"),
    [("nowhere", "There is no checkpoint nowhere"), ("stray", "settings is missing")],
)
def test_resume_from_the_wrong_place_is_refused(train, path, sentence, tmp_path, capsys):
    (tmp_path / "stray").mkdir()
    (tmp_path / "stray/last.pt").write_bytes(b"x")
    train(f"resume={path}", code=1)
    assert sentence in capsys.readouterr().err


def test_resume_with_another_model_is_refused(train, capsys):
    train("run_dir=runs/a", "epochs=1")
    assert cli.main(["train", "resume=runs/a", "model=resnet34", "epochs=2"]) == 1
    assert "another model or optimizer" in capsys.readouterr().err
    assert load_checkpoint(Path("runs/a/last.pt"))["training"]["epoch"] == 1


def test_a_refused_resume_leaves_the_run_as_it_was(train, capsys):
    train("run_dir=runs/a", "epochs=1")
    settings = Path("runs/a/.hydra/overrides.yaml").read_bytes()
    for wrong in ("model=resnet34", "model.backbone=resnet81"):
        assert cli.main(["train", "resume=runs/a", wrong, "epochs=2"]) in (1, 2)
        assert Path("runs/a/.hydra/overrides.yaml").read_bytes() == settings
        assert Path("runs/a/finished.json").is_file()
    assert cli.main(["train", "resume=runs/a", "epochs=2"]) == 0


def test_resume_needs_no_weights_but_its_own(train):
    train("run_dir=first", "epochs=1")
    train("run_dir=runs/a", "epochs=1", "model.weights=first")
    Path("first/best.pt").unlink()
    assert cli.main(["train", "resume=runs/a", "epochs=2"]) == 0


def test_resume_keeps_the_split_and_refuses_changed_data(train, capsys):
    made = train("run_dir=runs/a", "epochs=1", "split.by=random")
    labels = made.root / "train/landmarks.csv"
    lines = labels.read_text().splitlines(keepends=True)
    labels.write_text("".join([lines[0], *reversed(lines[1:])]))
    assert cli.main(["train", "resume=runs/a", "epochs=2"]) == 1
    assert "has changed since this run was split" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_names_the_faces(train, monkeypatch, capsys):
    monkeypatch.setattr("landmarks.losses.masked_mean", lambda *a: torch.tensor(torch.nan))
    monkeypatch.setattr(
        "landmarks.models.heads.masked_mean",
        lambda elementwise, prediction, target: prediction.mean() * torch.nan,
    )
    made = train("run_dir=a", code=1)
    error = capsys.readouterr().err
    assert "not finite in epoch 1, batch 1 (faces " in error
    assert any(name in error for name in made.names)
    assert not Path("a/last.pt").exists()


def test_the_estimate_changes_no_number(train, monkeypatch):
    train("run_dir=a", "epochs=1")
    monkeypatch.setattr("landmarks.commands.train.check_memory", lambda *a, **settings: None)
    train("run_dir=b", "epochs=1")
    assert_equal(weights_of("a/last.pt"), weights_of("b/last.pt"))
    assert metrics("a") == metrics("b")


def test_more_than_fits_is_refused_before_the_first_step(train, monkeypatch, capsys):
    monkeypatch.setattr("landmarks.shortage.free_memory", lambda device: 2**20)
    train("run_dir=a", code=1)
    assert "Training needs at least" in capsys.readouterr().err
    assert not Path("a").exists()


def test_memory_that_runs_out_ends_the_run_and_keeps_its_epochs(train, monkeypatch, capsys):
    step = Training.advance

    def fail(training):
        if training.step == 4:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return step(training)

    monkeypatch.setattr(Training, "advance", fail)
    train("run_dir=runs/a", code=1)
    error = capsys.readouterr().err
    assert "Memory ran out in epoch 2" in error and "batch_size=2 accumulate=2" in error
    assert "resume=auto keeps the 1 epochs done" in error
    assert load_checkpoint(Path("runs/a/last.pt"))["training"]["epoch"] == 1


def test_max_time_ends_training_inside_it(train, monkeypatch):
    clock = FakeClock()
    for module in ("landmarks.budget", "landmarks.commands.train"):
        monkeypatch.setattr(f"{module}.time.monotonic", clock.now)
    monkeypatch.setattr("landmarks.engine.time.perf_counter", clock.now)
    monkeypatch.setattr(Display, "is_due", lambda self, every: clock.advance(10))
    train("run_dir=a", "epochs=null", "max_time=5m")
    rows = metrics("a")
    assert clock.seconds < 300
    assert int(rows[-1]["step"]) > 15 and float(rows[-1]["lr"]) < 1e-4


class FakeClock:
    """Ten seconds a step, whatever the machine does."""

    seconds = 0.0

    def now(self):
        return self.seconds

    def advance(self, seconds):
        self.seconds += seconds
        return False


def test_compile_and_tensorboard_and_fp16_say_what_they_need(train, capsys):
    train("amp=fp16", code=1)
    assert "amp=fp16 needs a GPU" in capsys.readouterr().err


def test_tensorboard_gets_the_metrics(train):
    pytest.importorskip("tensorboard")
    train("run_dir=a", "epochs=1", "tensorboard=true")
    events = list(Path("a").glob("events.out.tfevents*"))
    assert len(events) == 1 and b"val_mse" in events[0].read_bytes()


def test_corrupt_images_stop_or_are_left_out(train, contest, capsys, tmp_path):
    made = train("run_dir=a", "epochs=1")
    (made.root / "train/images" / made.names[3]).write_bytes(b"\xff\xd8 cut off")
    (made.root / "train/images" / made.names[5]).unlink()
    train("run_dir=b", code=1)
    error = capsys.readouterr().err
    assert made.names[3] in error and made.names[5] in error and "data.on_error=skip" in error
    train("run_dir=c", "epochs=1", "data.on_error=skip")
    assert "Left out 2 of 16 images" in capsys.readouterr().out


def test_a_sweep_runs_every_choice_and_reports_failure(train, tmp_path):
    train("-m", "epochs=1", "seed=1,2")
    runs = sorted((tmp_path / "runs").glob("*-sweep/*/best.pt"))
    assert [run.parent.name for run in runs] == ["0", "1"]
    train("-m", "epochs=1", "data.root=nowhere,never", code=1)
