"""Runs that are taken up again: to the same bits, with other settings, or not at all."""

import re
from pathlib import Path

import pytest
import torch
from tiny_networks import tiny_convnext, tiny_efficientnet, tiny_keypoint_rcnn, tiny_swin

from landmarks.cli import main as cli
from landmarks.models import backbones
from landmarks.models.backbones import TorchvisionBackbone
from landmarks.models.keypoint_rcnn import detector
from landmarks.runs.checkpoint import load_checkpoint
from landmarks.training.training_state import Training


@pytest.mark.parametrize(
    ("extra", "stops"),
    [
        ([], (1, 2, 5)),
        (["accumulate=2", "scheduler=plateau", "ema=0", "clip=1", "max_time=10m"], (1, 5)),
    ],
)
def test_stopped_and_resumed_equals_uninterrupted(train, extra, stops, stop_at_step, capsys):
    """Stopped in the first epoch, at its end and in the last step: each time in the same run."""
    train("run_dir=whole", *extra)
    parts = Path("runs/parts")
    words = [f"run_dir={parts}", *extra]
    for stop_at in stops:
        capsys.readouterr()
        with stop_at_step(stop_at):
            train(*words, "resume=auto", code=143)
        saved = load_checkpoint(parts / "last.pt").training
        assert (saved["epoch"], saved["batch"]) != (0, 0) and saved["step"] == stop_at + 1
        assert not (parts / "finished.json").exists()
        assert "landmarks train resume=" in capsys.readouterr().out
    assert cli.main(["train", "resume=auto"]) == 0
    check_equal(train, "whole", parts)
    assert train.metrics("whole") == train.metrics(parts)
    assert (parts / "finished.json").exists()


def check_equal(train, whole, parts):
    assert train.are_equal(whole, parts)
    assert optimizer_of(whole) == optimizer_of(parts)


def optimizer_of(run):
    return str(load_checkpoint(Path(run) / "last.pt").training["optimizer"])


def test_stopped_while_frozen_or_after_and_resumed_equals_uninterrupted(train, stop_at_step):
    """Three batches an epoch, two a step; the backbone is frozen in the first of two epochs."""
    torch.save(TorchvisionBackbone("resnet18").state_dict(), "weights.pth")
    extra = ["model.weights=weights.pth", "model.freeze=1", "model.norm=group", "accumulate=2"]
    extra += ["optimizer.backbone_lr_scale=0.1", "optimizer.layer_decay=0.5"]
    train("run_dir=whole", *extra)
    for stop_at in (1, 2, 4):
        with stop_at_step(stop_at):
            train("run_dir=runs/parts", "resume=auto", *extra, code=143)
    assert cli.main(["train", "resume=auto"]) == 0
    check_equal(train, "whole", "runs/parts")


@pytest.mark.parametrize(
    ("model", "tiny"),
    [
        ("efficientnet_b0", tiny_efficientnet),
        ("convnext_tiny", tiny_convnext),
        ("swin_t", tiny_swin),
        ("keypoint_rcnn", tiny_keypoint_rcnn),
    ],
)
def test_a_model_that_draws_resumes_to_the_same_bits(model, tiny, train, stop_at_step, monkeypatch):
    """Stochastic depth and sampled boxes draw at every step, on both sides of the stop."""
    if model == "keypoint_rcnn":
        words = ["model=keypoint_rcnn", "input_size=64", "epochs=1"]
        monkeypatch.setattr(detector, "keypointrcnn_resnet50_fpn", tiny)
    else:
        words = [f"model.backbone={model}", "epochs=1"]
        monkeypatch.setattr(backbones, "get_model", lambda name, weights: tiny())
    train("run_dir=whole", *words)
    with stop_at_step(1):
        train("run_dir=runs/parts", *words, code=143)
    assert cli.main(["train", "resume=auto"]) == 0
    assert train.are_equal("whole", "runs/parts")


def test_resume_with_another_batch_size_counts_in_the_new_one(train, stop_at_step, capsys):
    with stop_at_step(0):
        train("run_dir=runs/a", "batch_size=8", code=143)
    assert cli.main(["train", "resume=runs/a", "batch_size=4"]) == 0
    assert "epoch 1, batch 3." in capsys.readouterr().out  # a batch of 8 faces is two of 4
    assert [row["step"] for row in train.metrics("runs/a")] == ["3", "6"]


def test_resuming_at_another_input_size_is_refused_and_changes_nothing(train, capsys):
    train("run_dir=runs/a", "epochs=1")
    settings = Path("runs/a/.hydra/overrides.yaml").read_text()
    assert cli.main(["train", "resume=runs/a", "epochs=2", "input_size=64"]) == 1
    assert "input_size=32, not 64" in capsys.readouterr().err
    assert Path("runs/a/.hydra/overrides.yaml").read_text() == settings


def test_a_run_is_not_begun_in_the_folder_of_another(train, capsys):
    train("run_dir=runs/a", "epochs=1")
    before = [path.read_bytes() for path in sorted(Path("runs/a").rglob("*")) if path.is_file()]
    train("run_dir=runs/a", "epochs=1", code=1)
    assert "run_dir=runs/a" in capsys.readouterr().err
    assert before == [p.read_bytes() for p in sorted(Path("runs/a").rglob("*")) if p.is_file()]


def test_the_second_of_two_starts_at_once_leaves_the_settings_of_the_first(
    train, monkeypatch, capsys
):
    """The other start has made the folder since this one has looked, and holds it."""
    Path("runs/a/.hydra").mkdir(parents=True)
    Path("runs/a/.hydra/config.yaml").write_text("of the other")
    monkeypatch.setattr("landmarks.runs.run_lock._take", lambda file: False)
    monkeypatch.setattr("landmarks.cli.run_with_hydra.refuse_taken", lambda *_: None)
    train("run_dir=runs/a", "epochs=1", code=1)
    assert capsys.readouterr().err.startswith("landmarks: runs/a ")
    assert [p.read_text() for p in Path("runs/a/.hydra").iterdir()] == ["of the other"]


def test_a_named_folder_is_gone_again_where_the_words_are_wrong(train, tmp_path):
    train("run_dir=new/a", "epochs=none", code=2)
    train("run_dir=new/a", "epoch=1", code=2)
    assert not (tmp_path / "new/a").exists()


def test_resume_auto_without_an_unfinished_run_starts_anew(train, tmp_path):
    train("epochs=1")
    train("epochs=1", "resume=auto")
    assert len(list((tmp_path / "runs").iterdir())) == 2


@pytest.mark.parametrize(("path", "named"), [("nowhere", "nowhere"), ("stray", "stray/last.pt")])
def test_resume_from_the_wrong_place_is_refused(train, path, named, tmp_path, capsys):
    (tmp_path / "stray").mkdir()
    (tmp_path / "stray/last.pt").write_bytes(b"x")
    train(f"resume={path}", code=1)
    assert named in capsys.readouterr().err


def test_resume_with_another_model_is_refused(train, capsys):
    train("run_dir=runs/a", "epochs=1")
    assert cli.main(["train", "resume=runs/a", "model=resnet34", "epochs=2"]) == 1
    assert "model.backbone=resnet18, not resnet34" in capsys.readouterr().err
    assert load_checkpoint(Path("runs/a/last.pt")).training["epoch"] == 1


@pytest.mark.parametrize(
    "word",
    ["model.freeze=backbone", "optimizer.backbone_lr_scale=0.5", "optimizer.layer_decay=0.5"],
)
def test_what_parts_the_optimizer_s_parameters_is_named_where_it_changed(word, train, capsys):
    train("run_dir=runs/a", "epochs=1")
    assert cli.main(["train", "resume=runs/a", "epochs=2", word]) == 1
    error = capsys.readouterr().err
    named = re.findall(r"(?:model|optimizer)\.\w+=\S+", error)
    assert named == [word] and len(error.strip().splitlines()) == 1


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
    assert "landmarks.csv" in capsys.readouterr().err


def files_of(run):
    return {
        path: path.read_bytes()
        for path in sorted(Path(run).rglob("*"))
        if path.is_file() and path.suffix != ".log"
    }


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_resume_that_ends_before_its_first_step_changes_nothing(train, error, monkeypatch):
    train("run_dir=runs/a", "epochs=1")
    before = files_of("runs/a")

    def end(*arguments, **settings):
        raise error

    words = ["resume=runs/a", "epochs=2", "augment=none", "batch_size=8"]
    with monkeypatch.context() as patch:
        patch.setattr("landmarks.commands.train.fit", end)
        if error is KeyboardInterrupt:
            assert cli.main(["train", *words]) == 130
        else:
            with pytest.raises(RuntimeError):
                cli.main(["train", *words])
    after = files_of("runs/a")
    assert after == {**before, Path("runs/a/augmented.png"): after[Path("runs/a/augmented.png")]}
    assert cli.main(["train", "resume=runs/a", "epochs=2"]) == 0
    assert load_checkpoint(Path("runs/a/last.pt")).config["augment"]["rotate"] == 10


def test_settings_beside_resume_are_taken_listed_and_kept(train, capsys):
    train("run_dir=runs/a", "epochs=1", "augment.rotate=30", "optimizer=sgd")
    words = ["augment=none", "optimizer.momentum=0.5", "loss=wing", "scheduler=plateau"]
    assert cli.main(["train", "resume=runs/a", "epochs=2", *words]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "epochs: 1 -> 2" in out and "augment.rotate: 30 -> 0.0" in out
    content = load_checkpoint(Path("runs/a/last.pt"))
    assert content.config["augment"]["rotate"] == 0
    assert content.training["optimizer"]["param_groups"][0]["momentum"] == 0.5
    assert cli.main(["train", "resume=runs/a", "epochs=3"]) == 0
    assert "epochs: 2 -> 3." in capsys.readouterr().out
    assert load_checkpoint(Path("runs/a/last.pt")).config["loss"]["_target_"].endswith(".wing")


def test_faces_left_out_after_the_split_are_refused(train, capsys):
    made = train("run_dir=runs/a", "epochs=1", "data.exclude=left_out.txt", code=1)
    Path("left_out.txt").write_text("nobody.jpg\n")
    train("run_dir=runs/a", "epochs=1", "data.exclude=left_out.txt", "data.cache=off")
    Path("left_out.txt").write_text(f"{made.names[0]}\n")
    capsys.readouterr()
    assert cli.main(["train", "resume=runs/a", "epochs=2"]) == 1
    assert "data.exclude=left_out.txt" in capsys.readouterr().err


def test_a_recipe_of_one_s_own_resumes_by_itself_and_as_it_was(train, capsys):
    Path("my/experiment").mkdir(parents=True)
    recipe = Path("my/experiment/mine.yaml")
    recipe.write_text("# @package _global_\nema: 0.5\n")
    train("--config-dir", "my", "experiment=mine", "run_dir=runs/a", "epochs=1")
    recipe.write_text("# @package _global_\nema: 0.25\n")
    words = ["--config-dir", "my", "experiment=mine", "resume=runs/a", "epochs=2"]
    assert cli.main(["train", *words]) == 0
    recipe.unlink()
    assert cli.main(["train", "resume=runs/a", "epochs=3"]) == 0
    assert load_checkpoint(Path("runs/a/last.pt")).config["ema"] == 0.5
    assert "ema:" not in capsys.readouterr().out


def test_a_run_that_failed_is_passed_over_until_it_is_named(train, monkeypatch, capsys):
    original = Training.advance

    def fail(training):
        if training.step == 4:
            raise RuntimeError("no such luck")
        return original(training)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(Training, "advance", fail)
        train("run_dir=runs/a")
    assert "no such luck" in Path("runs/a/failed.txt").read_text()
    assert not Path("runs/a/.lock").exists()
    assert cli.main(["train", "resume=runs/a"]) == 0
    assert not Path("runs/a/failed.txt").exists() and Path("runs/a/finished.json").exists()


def test_other_commands_leave_a_run_alone(train, capsys):
    train("run_dir=runs/a", "epochs=1")
    before = files_of("runs/a")
    for command in ("predict", "check"):
        assert cli.main([command, "run_dir=runs/a"]) == 1
        assert "run_dir=runs/a" in capsys.readouterr().err
    assert files_of("runs/a") == before


@pytest.mark.parametrize("command", ["train", "predict", "evaluate", "show", "check"])
def test_results_of_another_command_stay_as_they_are(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    Path("out/predictions.csv").write_text("file_name\n")
    Path("out/suspects.csv").write_text("name\n")
    before = files_of("out")
    assert cli.main([command, "run_dir=out"]) == 1
    assert "run_dir=out" in capsys.readouterr().err
    assert files_of("out") == before
