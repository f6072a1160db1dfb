"""What a training starts from, before anything is read."""

from importlib.resources import files
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from landmarks.commands import initial_weights as start
from landmarks.commands.build import rebuild_model
from landmarks.models import weights as room

MODELS = {
    file.name.removesuffix(".yaml"): OmegaConf.to_container(OmegaConf.create(file.read_text()))
    for file in files("landmarks.configs.model").iterdir()
    if file.name.endswith(".yaml")
}
WITH_WEIGHTS = [name for name in sorted(MODELS) if "weights" in MODELS[name]]


@pytest.fixture(autouse=True)
def unfound(monkeypatch):
    """Looking for weights fails the test."""

    def refuse(name, weights):
        assert weights == "none", f"{weights} is looked for"

    for module in (start, room):
        monkeypatch.setattr(module, "find_weights", refuse)


@pytest.mark.parametrize("name", WITH_WEIGHTS)
@pytest.mark.parametrize("weights", ["imagenet", "no/file.pt", "none"])
def test_a_resumed_run_looks_for_no_weights(name, weights):
    node = {**MODELS[name], "weights": weights}
    settings = SimpleNamespace(data={}, model=node, init=None, resume="runs/a/last.pt")
    settled, initial = start.settle_initial_weights(settings)
    wanted = {**node, "weights": "none"}
    if node["freeze"] == "auto":
        wanted["freeze"] = weights != "none"  # as when it began
    assert settled == wanted and initial is None


@pytest.mark.parametrize("name", ["keypoint_rcnn", "resnet18", "unet_resnet18"])
@pytest.mark.parametrize("says", ["coco", None])
def test_an_opened_checkpoint_looks_for_no_weights(name, says, checkpoint_of):
    """Not even one that does not name them, where the builder's own default would."""
    node = {key: value for key, value in MODELS[name].items() if key != "defaults"}
    node.pop("weights")
    node = node if says is None else {**node, "weights": says}
    with pytest.raises(Exception, match="do not fit its own model"):
        rebuild_model(checkpoint_of({"model": node}, num_points=3))
