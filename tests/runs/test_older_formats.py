"""Checkpoints of older versions: read as what they were."""

from importlib.resources import files

import pytest
import torch
import yaml
from refusals import refused
from torch import nn

from landmarks.errors import UserError
from landmarks.models.heads import RegressionHead
from landmarks.runs.checkpoint import load_checkpoint, load_config
from landmarks.runs.older_formats import LATER, UNTURNED

FIRST = set(  # the settings that the first version had
    "data layout model loss optimizer scheduler split input_size crop epochs max_time batch_size "
    "accumulate clip ema seed device amp compile workers name".split()
)
LAYOUT = {"name": "none", "num_points": 3}
WEIGHTS = {"w": torch.zeros(6)}


@pytest.fixture
def write(tmp_path):
    """Write a file of an older format; return its path."""

    def write(version, weights, **named):
        content = {"config": {}, "num_points": 3, "layout": LAYOUT, "metrics": {}, **named}
        torch.save({"format": version, "weights": weights, **content}, tmp_path / "a.pt")
        return tmp_path / "a.pt"

    return write


def test_every_setting_that_came_later_is_as_it_was_before():
    """A new setting needs a line in LATER, so that older runs do as they did."""
    today = yaml.safe_load(files("landmarks.configs").joinpath("train.yaml").read_text())
    groups = {next(iter(item)) for item in today["defaults"] if isinstance(item, dict)}
    recipes = {"experiment", "hparams_search"}  # they set what follows in their files
    groups = {group for group in groups if "/" not in group} - recipes
    known = (today.keys() | groups) - {"defaults", "hydra", "resume", "run_dir"}
    assert known == FIRST | LATER.keys() and not FIRST & LATER.keys()


def test_settings_of_the_first_version_are_completed(write):
    data = {"_target_": "landmarks.data.coco.read_faces", "root": "x"}
    path = write(1, WEIGHTS, config={"data": data, "seed": 3})
    settings = load_config(path)
    assert settings == load_checkpoint(path).config
    assert settings["seed"] == 3 and settings["data"].pop("exif") == "rotate"
    assert settings["data"]["_target_"] == "landmarks.data.formats.coco.read_faces"
    assert {key: settings[key] for key in LATER} == LATER
    kept = {"data": {"_target_": UNTURNED[0]}, "box_margin": 0.5, "flip_test": True}
    settings = load_config(write(5, WEIGHTS, config=kept))
    assert {key: settings[key] for key in kept} == kept


@pytest.mark.parametrize(
    ("was", "now"), [(90, "90s"), (1.5, "1.5s"), ("90", "90s"), ("2h", "2h"), (None, None)]
)
def test_a_time_without_a_unit_was_seconds(was, now, write):
    assert load_config(write(7, WEIGHTS, config={"max_time": was}))["max_time"] == now


@pytest.mark.parametrize(
    ("swap", "flip"), [([], None), ([[0, 0, 1, 1]], [1, 0, 2])], ids=["no pairs", "pairs"]
)
def test_without_a_flip_permutation_the_layout_s_is_taken(swap, flip, write):
    back = load_checkpoint(write(4, WEIGHTS, layout={**LAYOUT, "swap": swap}))
    assert back.flip == flip and back.unlabelled == []
    assert load_checkpoint(write(5, WEIGHTS, flip=[0, 2, 1])).flip == [0, 2, 1]


@pytest.mark.parametrize(
    "layout", [None, {}, {**LAYOUT, "swap": [[0, 9]]}, {"name": "x", "num_points": 10**12}]
)
def test_what_holds_no_layout_is_damaged(layout, write):
    if isinstance(layout, dict):
        layout.setdefault("swap", [[0, 0, 1, 1]])
    path = write(4, WEIGHTS, layout=layout)
    with refused(path):
        load_checkpoint(path)


def test_a_training_that_was_planned_once_goes_on_as_planned(write):
    state = load_checkpoint(write(5, WEIGHTS, training={"step": 4})).training
    assert state == {"step": 4, "planned_at": 0, "planned_from": 0.0, "schedule": {}}


@pytest.mark.parametrize(("version", "units"), [(1, 2), (2, 16)])
def test_a_regression_of_an_older_format_predicts_what_it_did(version, units, write):
    """It pooled averages alone, and counted in other parts of the input's side."""
    start, channels = torch.full((3, 2), 20.0), 4
    offsets = nn.Linear(channels, 6)
    filled = {name: torch.randn_like(value) for name, value in offsets.state_dict().items()}
    offsets.load_state_dict(filled)
    features = torch.rand(2, channels, 2, 3)
    expected = start + 32 / units * offsets(features.mean((2, 3))).unflatten(1, (-1, 2))
    old = {f"head.offsets.{name}": value for name, value in filled.items()}
    back = load_checkpoint(write(version, {**old, "head.start": start}, training={"step": 1}))
    assert back.training is None
    head = RegressionHead(channels, 3, 32)
    head.load_state_dict({k.removeprefix("head."): v for k, v in back.weights.items()})
    torch.testing.assert_close(head.decode([features])[0], expected)


def test_a_keypoint_rcnn_of_an_older_format_looks_for_landmarks_anywhere(write):
    weights = {"head.predictor.weight": torch.zeros(8, 3, 4, 4)}
    back = load_checkpoint(write(3, weights, training={"step": 1}))
    assert back.weights["head.start"].shape == (3, 2) and back.training is None
    assert back.weights["head.start"].isnan().all()


def test_a_later_keypoint_rcnn_is_read_as_it_is(write):
    weights = {"head.predictor.weight": torch.zeros(8, 3, 4, 4), "head.start": torch.ones(3, 2)}
    back = load_checkpoint(write(4, weights, training={"step": 1}))
    assert back.training["step"] == 1 and torch.equal(back.weights["head.start"], torch.ones(3, 2))


def test_a_regression_of_this_head_keeps_its_training(write):
    weights = {"head.offsets.weight": torch.ones(6, 12), "head.offsets.bias": torch.ones(6)}
    back = load_checkpoint(write(3, dict(weights), training={"step": 1}))
    assert back.training["step"] == 1
    assert all(torch.equal(back.weights[name], weights[name]) for name in weights)


def test_a_regression_of_an_older_format_subtracts_nothing_in_training_too(write):
    weights = {"head.offsets.weight": torch.ones(6, 12), "head.offsets.bias": torch.ones(6)}
    training = {"model": dict(weights), "ema": {"weights": dict(weights)}}
    back = load_checkpoint(write(4, weights, training=training))
    trained = back.training
    for tensors in (back.weights, trained["model"], trained["ema"]["weights"]):
        mean = tensors["head.center.mean"]
        assert mean.shape == (12,) and mean.isnan().all()


def test_the_training_of_other_models_is_kept(write):
    back = load_checkpoint(write(1, {"w": torch.arange(3.0)}, training={"step": 1}))
    assert back.training["step"] == 1


@pytest.mark.parametrize("load", [load_config, lambda path: load_checkpoint(path).config])
def test_settings_that_are_gone_are_dropped_or_refused(load, write):
    model = {"_target_": "landmarks.models.builders.regressor", "backbone": "resnet18"}
    old = {**model, "basis": "none", "components": 40}
    assert load(write(6, WEIGHTS, config={"model": old}))["model"] == model
    old["basis"] = "pca"
    with pytest.raises(UserError, match=r"model\.basis=pca"):
        load(write(6, WEIGHTS, config={"model": old}))
