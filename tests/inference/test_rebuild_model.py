"""The model of a checkpoint, built once where its weights are all that it holds."""

import pytest
import torch

from landmarks.inference import rebuild_model as rebuild
from landmarks.models.builders import regressor
from landmarks.runs.checkpoint import load_checkpoint


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
