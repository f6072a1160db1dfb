"""The model of a checkpoint, built once where its weights are all that it holds."""

import shutil
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from refusals import refused

from landmarks.cli import main as cli
from landmarks.commands.preparing.config_groups import nodes_of
from landmarks.errors import UserError
from landmarks.inference import rebuild_model as rebuild
from landmarks.inference.rebuild_model import (
    check_claims,
    check_memory_of,
    check_progress,
    rebuild_model,
)
from landmarks.models.backbone_weights import load_weights
from landmarks.models.builders import regressor
from landmarks.runs.checkpoint import load_checkpoint, load_config, refuse_inflated, save_checkpoint
from landmarks.runs.config_targets import known_targets, trusted


@pytest.mark.parametrize(("holds_more", "times"), [(False, 1), (True, 2)])
def test_it_is_built_anew_only_where_it_holds_more(run_of, monkeypatch, holds_more, times):
    """Tensors that no checkpoint holds, such as a detector's anchors, are as its builder makes."""
    built = []

    def build(**settings):
        built.append(regressor(**settings))
        if holds_more:
            built[-1].head.tables = [torch.arange(4.0)]
        return built[-1]

    checkpoint = load_checkpoint(run_of() / "best.pt")
    monkeypatch.setattr(rebuild, "trusted", lambda node, group: build)
    monkeypatch.setattr(rebuild, "check_arguments", lambda *given: arguments_of(checkpoint))
    model = rebuild.rebuild_model(checkpoint)
    assert len(built) == times and not model.training
    assert not holds_more or model.head.tables[0].tolist() == [0, 1, 2, 3]
    for name, value in model.state_dict().items():
        assert torch.equal(value, checkpoint.weights[name]), name


def arguments_of(checkpoint):
    node = checkpoint.config["model"]
    return {key: value for key, value in node.items() if not key.startswith("_")}


def node_of(name):
    return next(dict(node) for node in nodes_of("model") if node.get("backbone") == name)


@pytest.fixture(scope="module")
def checkpoint(checkpoint_of):
    """A small model's."""
    node = {**node_of("resnet18"), "weights": "none"}
    arguments = {key: node[key] for key in node if not key.startswith("_")}
    model = trusted(node, "model")(**arguments, num_points=5, input_size=32)
    flip, metrics = [1, 0, 2, 3, 4], {"epoch": 1, "val_mse": 2.5}
    return checkpoint_of({"model": node}, flip=flip, metrics=metrics, weights=model.state_dict())


def believe(checkpoint):
    rebuild_model(checkpoint)
    check_claims(checkpoint)


def test_what_a_training_writes_is_believed(checkpoint):
    believe(checkpoint)
    believe(replace(checkpoint, flip=None, metrics={}))
    believe(replace(checkpoint, places=PLACES))
    believe(replace(checkpoint, places={**PLACES, "shown": [0.8, 1.0]}))


PLACES = {"center": [0.5, 0.5], "center_spread": [0.0, 0.0], "side": 0.5, "side_spread": 0.0}
WRONG = {
    "num_points": [0, -1, True, 2.0, "5", None, 6, 10**9, [5]],
    "flip": [[0], [0, 1, 2, 3, 5], [1, 2, 3, 4, 0], [0.0] * 5, "01234", 7, [[0]] * 5],
    "layout": [
        None,
        {},
        5,
        {"name": "none", "num_points": 4},
        {"name": "x", "num_points": 10**12},
        {"name": "x", "num_points": 5, "eyes": [0, 9]},
        {"name": "x", "num_points": 5, "a": 1},
        {"name": "x", "num_points": 5, "swap": [[0, 1, 2, 4]]},
        {"name": "x", "num_points": 5, "regions": {"a": [-1, 2]}},
    ],
    "unlabelled": [[5], [-1], ["1"], None, 3],
    "places": [{**PLACES, "shown": shown} for shown in (1, [1], [0, 1], [1, "1"])],
    "metrics": [{"epoch": 1}, {"epoch": 1, "val_mse": "x"}, [1]],
    "weights": [{}, {"head.start": torch.zeros(5, 2)}],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key in WRONG for value in WRONG[key]])
def test_a_wrong_claim_is_one_sentence(key, value, checkpoint):
    with pytest.raises(UserError):
        believe(replace(checkpoint, **{key: value}))


@pytest.mark.parametrize(
    "wrong",
    [
        *({"input_size": size} for size in (0, -32, 10**9, "32", 32.5, None)),
        {"crop": "x"},
        {"box_margin": -1},
        {"flip_test": 3},
        {"pictured_region": []},
        {"model": None},
        {"model": []},
        {"data": 1},
    ],
)
def test_wrong_settings_are_one_sentence(wrong, checkpoint):
    with pytest.raises(UserError):
        believe(replace(checkpoint, config={**checkpoint.config, **wrong}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"backbone": "resnet34"},
        {"refine": 10**9},
        {"refine": 0},
        {"_target_": "landmarks.models.heads.RegressionHead"},
        {"_target_": ["x"]},
        {"x": 1},
        {"_target_": "landmarks.models.builders.unet", "width": 10**9},
        {"_partial_": True},
    ],
)
def test_a_wrong_builder_is_one_sentence(wrong, checkpoint):
    model = {**checkpoint.config["model"], **wrong}
    with pytest.raises(UserError):
        believe(replace(checkpoint, config={**checkpoint.config, "model": model}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"epoch": -1},
        {"step": 10**15},
        {"batch": 1.5},
        {"total_steps": "x"},
        {"seconds": None},
        {"seconds": float("nan")},
        {"history": 3},
        {"history": [3]},
        {"history": [{"a": [...]}]},
    ],
)
def test_a_wrong_progress_is_refused(wrong):
    right = {"epoch": 1, "batch": 2, "step": 5, "total_steps": 9, "planned_at": 0}
    right |= {"seconds": 1.5, "history": []}
    check_progress(right)
    with pytest.raises(ValueError):
        check_progress({**right, **wrong})


def test_an_optimizer_s_memory_has_its_parameters_shapes():
    parameter = torch.nn.Parameter(torch.zeros(3, 2))
    optimizer = torch.optim.AdamW([parameter])
    parameter.sum().backward()
    optimizer.step()
    check_memory_of(optimizer)
    optimizer.state[parameter]["exp_avg"] = torch.zeros(3)
    with pytest.raises(ValueError, match="exp_avg"):
        check_memory_of(optimizer)


def deflate(path):
    """Write an archive of torch.save anew, compressed."""
    aside = path.with_suffix(".zip")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    shutil.move(aside, path)


def test_a_compressed_file_is_refused_before_it_is_read(checkpoint, tmp_path, monkeypatch):
    path = tmp_path / "bomb.pt"
    save_checkpoint(path, replace(checkpoint, weights={"w": torch.zeros(1 << 20)}))
    refuse_inflated(path)
    deflate(path)
    with zipfile.ZipFile(path) as members:
        unpacked = sum(member.file_size for member in members.infolist())
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("it was read"))
    readers = [load_checkpoint, load_config]
    readers.append(lambda path: load_weights(torch.nn.Linear(1, 1), "x", path, partial=True))
    for read in readers:
        with refused(path, path.stat().st_size, unpacked):
            read(path)


def test_tensors_larger_than_their_file_are_refused(checkpoint, tmp_path):
    weights = {"w": torch.zeros(1).expand(1 << 24)}
    save_checkpoint(tmp_path / "large.pt", replace(checkpoint, weights=weights))
    with refused("large.pt"):
        load_checkpoint(tmp_path / "large.pt")


def test_settings_that_are_no_plain_data_are_refused(checkpoint, tmp_path):
    endless = []
    endless.append(endless)
    for value in ({"a": torch.zeros(1)}, {"a": endless}, {1: 2}, [1], {"a": [0] * 200_000}):
        save_checkpoint(tmp_path / "odd.pt", replace(checkpoint, config=value))
        with refused("odd.pt"):
            load_checkpoint(tmp_path / "odd.pt")


def test_predict_says_it_in_one_sentence(checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["landmarks"])
    for key, value, named in (
        ("num_points", 10**9, str(10**9)),
        ("flip", [9] * 5, "flip"),
        ("layout", {}, "layout"),
    ):
        save_checkpoint(Path("a.pt"), replace(checkpoint, **{key: value}))
        assert cli.main(["predict", "checkpoint=a.pt", "input=x.npy"]) == 1
        error = capsys.readouterr().err
        assert len(error.strip().splitlines()) == 1 and named in error


@pytest.mark.parametrize("group", ["data", "model", "loss", "optimizer", "scheduler", "split"])
def test_what_is_trusted_is_what_the_settings_name(group):
    named = {(node["_target_"], node.get("_partial_", False)) for node in nodes_of(group)}
    assert known_targets(group) == named and named
