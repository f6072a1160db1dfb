"""`landmarks train` on a small data set: what a run leaves, and how it can fail."""

import csv
import json
import re
from pathlib import Path

import cv2
import pytest
import torch

from landmarks.runs.checkpoint import load_checkpoint
from landmarks.training.training_state import Training


def test_a_run_leaves_checkpoints_metrics_and_pictures(train, whole_runs, tmp_path):
    train("name=first")
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.endswith("-first") and "=" not in run.name
    left = {path.name for path in run.iterdir()}
    assert left == set(
        ".hydra best.pt last.pt metrics.csv curves.png faces.png augmented.png "
        "split.npz train.log finished.json".split()
    )
    assert [row["epoch"] for row in train.metrics(run)] == ["1", "2"]
    content = load_checkpoint(run / "best.pt")
    assert content.num_points == 5 and content.layout["name"] == "none"
    assert content.config["model"]["backbone"] == "resnet18"
    json.dumps({k: v for k, v in vars(content).items() if k != "weights"})  # plain data
    assert content.training is None


def test_heatmaps_are_pictured_and_their_confidence_kept(train):
    unet = ("model=unet_resnet18", "model.weights=none", "+model.fuse=false", "epochs=1")
    train(*unet, "logger=tensorboard", "run_dir=a")
    picture = cv2.imread("a/heatmaps.png")
    assert picture.shape == (4 * 320, 2 * 320, 3)  # faces; target and prediction of all points
    with Path("a/metrics.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert 0 <= float(row["val_confidence"]) <= 1
    events = b"".join(path.read_bytes() for path in Path("a").glob("events.out.*"))
    assert b"heatmaps" in events and b"val_confidence" in events


def test_an_unknown_region_is_refused(train, tmp_path, capsys):
    train("model=unet_resnet18", "model.weights=none", "pictured_region=jaw", code=1)
    assert "pictured_region=jaw" in capsys.readouterr().err
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
    assert "'resnet18'" in capsys.readouterr().err


def test_same_seed_same_weights(train):
    train("run_dir=a")
    train("run_dir=b")
    train("run_dir=c", "seed=1")
    assert train.are_equal("a", "b")
    assert not train.are_equal("a", "c")


def test_freezing_random_weights_is_refused(train, capsys):
    train("model.freeze=backbone", code=1)
    assert "model.freeze=backbone" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_names_the_faces(train, monkeypatch, capsys):
    monkeypatch.setattr(
        "landmarks.models.heads.masked_mean",
        lambda elementwise, prediction, target: prediction.mean() * torch.nan,
    )
    made = train("run_dir=a", code=1)
    error = capsys.readouterr().err
    assert "epoch 1, batch 1 (" in error
    assert any(name in error for name in made.names)
    assert not Path("a/last.pt").exists()


def test_the_estimate_changes_no_number(train, whole_runs, monkeypatch):
    train("run_dir=a", "epochs=1")
    monkeypatch.setattr("landmarks.commands.train.check_memory", lambda *a, **settings: None)
    train("run_dir=b", "epochs=1")
    assert train.are_equal("a", "b")
    assert train.metrics("a") == train.metrics("b")


def test_more_than_fits_is_refused_before_the_first_step(train, monkeypatch, capsys):
    monkeypatch.setattr("landmarks.training.out_of_memory.free_memory", lambda device: 2**20)
    train("run_dir=a", code=1)
    said = capsys.readouterr().err
    assert "1 MiB" in said and "batch_size=4" in said
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
    assert "epoch 2" in error and "batch_size=2 accumulate=2" in error
    assert "resume=auto" in error
    assert load_checkpoint(Path("runs/a/last.pt")).training["epoch"] == 1


def test_a_batch_too_small_for_its_norms_is_refused(train, capsys):
    train("run_dir=a", "batch_size=1", code=1)
    assert "model.norm" in capsys.readouterr().err
    train("run_dir=b", "batch_size=1", "model.norm=group", "epochs=1")
    assert not Path("a").exists()


def test_a_model_that_finds_no_room_is_one_sentence(train, monkeypatch, capsys):
    def fail(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("landmarks.commands.training_run.build_training.Ema", fail)
    train("run_dir=a", code=1)
    said = capsys.readouterr().err
    assert "on cpu" in said and said.count("\n") == 1
    assert not Path("a").exists()


def test_predictions_that_are_not_finite_end_in_a_sentence(train, capsys):
    made = train("optimizer.lr=1e30", "epochs=1", "loss=smooth_l1", "batch_size=16", code=1)
    error = capsys.readouterr().err
    assert "epoch 1" in error and "optimizer.lr" in error
    assert any(name in error for name in made.names)
    assert not Path("a/best.pt").exists() and not Path("a/finished.json").exists()


def test_adaptive_wing_is_refused_for_a_regression(train, capsys):
    train("run_dir=a", "loss=adaptive_wing", code=1)
    assert "loss=adaptive_wing" in capsys.readouterr().err
    assert not Path("a").exists()


def test_max_time_ends_training_inside_it(train, clock, capsys):
    train("run_dir=a", "epochs=null", "max_time=5m")
    rows = train.metrics("a")
    assert clock.seconds < 300 and "max_time=5m" not in capsys.readouterr().out
    assert int(rows[-1]["step"]) > 15 and float(rows[-1]["lr"]) < 1e-4


def test_max_time_that_is_too_short_is_told_so(train, clock, capsys):
    train("run_dir=a", "max_time=4s")
    assert [row["step"] for row in train.metrics("a")] == ["2"]
    said = capsys.readouterr().out
    assert re.search(r"max_time=4s .*\b6 s\b", said)


def test_compile_and_tensorboard_and_fp16_say_what_they_need(train, capsys):
    train("amp=fp16", code=1)
    assert "amp=fp16" in capsys.readouterr().err


def test_tensorboard_gets_the_metrics(train):
    pytest.importorskip("tensorboard")
    train("run_dir=a", "epochs=1", "logger=tensorboard")
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
