"""What a training starts from, before anything is read."""

from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf
from refusals import refused

from landmarks.commands.training_run import initial_weights as start
from landmarks.inference.rebuild_model import rebuild_model
from landmarks.models import backbone_weights as room

MODELS = {
    file.name.removesuffix(".yaml"): OmegaConf.to_container(OmegaConf.create(file.read_text()))
    for file in files("landmarks.configs.model").iterdir()
    if file.name.endswith(".yaml")
}
WITH_WEIGHTS = [name for name in sorted(MODELS) if "weights" in MODELS[name]]


@pytest.fixture
def unfound(monkeypatch):
    """Looking for weights fails the test."""

    def refuse(name, weights):
        assert weights == "none", f"{weights} is looked for"

    monkeypatch.setattr(room, "find_weights", refuse)


@pytest.mark.usefixtures("unfound")
@pytest.mark.parametrize("name", WITH_WEIGHTS)
@pytest.mark.parametrize("weights", ["imagenet", "no/file.pt", "none"])
def test_a_resumed_run_looks_for_no_weights(name, weights):
    node = {**MODELS[name], "weights": weights}
    settings = SimpleNamespace(data={}, model=node, init=None, resume="runs/a/last.pt")
    settled = start.settle_initial_weights(settings)
    wanted = {**node, "weights": "none"}
    if node["freeze"] == "auto":
        wanted["freeze"] = weights != "none"  # as when it began
    assert settled == start.InitialWeights(wanted)


@pytest.mark.usefixtures("unfound")
@pytest.mark.parametrize("name", ["keypoint_rcnn", "resnet18", "unet_resnet18"])
@pytest.mark.parametrize("says", ["coco", None])
def test_an_opened_checkpoint_looks_for_no_weights(name, says, checkpoint_of):
    """Not even one that does not name them, where the builder's own default would."""
    node = {key: value for key, value in MODELS[name].items() if key != "defaults"}
    node.pop("weights")
    node = node if says is None else {**node, "weights": says}
    with refused("weights"):
        rebuild_model(checkpoint_of({"model": node}, num_points=3))


@pytest.mark.parametrize("words", [["init=stray.pt"], ["model.weights=stray.pt"]])
def test_files_that_cannot_be_read_are_refused_before_the_data_are(
    words, train, capsys, monkeypatch
):
    monkeypatch.setattr("landmarks.commands.train.open_inputs", lambda *_: pytest.fail("was read"))
    Path("stray.pt").write_bytes(b"no tensors")
    train(*words, code=1)
    error = capsys.readouterr().err
    assert "stray.pt" in error and error.count("\n") == 1


def test_faults_of_the_data_are_said_before_a_missing_network(train, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(room.torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(room, "_answers", lambda url: False)
    words = ["model.weights=imagenet"]
    train(*words, code=1)
    assert "model.weights=" in capsys.readouterr().err
    (train.made.root / "train/landmarks.csv").write_text("name\n")
    train(*words, code=1)
    assert "landmarks.csv, line 1" in capsys.readouterr().err
