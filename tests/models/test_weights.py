"""Where weights come from, and what is said when they cannot be had."""

import logging
import time

import pytest
import torch

from landmarks.errors import UserError
from landmarks.models import weights
from landmarks.models.backbones import build_backbone


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    return build_backbone("resnet18", "none")


def plain(network):
    """The state dict as torchvision names it."""
    return {k.removeprefix("stages."): v.clone() for k, v in network.state_dict().items()}


@pytest.mark.parametrize("prefix", ["", "module.", "backbone.stages.", "_orig_mod.module."])
@pytest.mark.parametrize("wrapper", [None, "state_dict"])
def test_file_is_loaded_whatever_wraps_it(network, prefix, wrapper, tmp_path, caplog):
    state = {prefix + key: value for key, value in plain(network).items()}
    state["fc.weight"] = torch.zeros(3, 512)
    torch.save({wrapper: state} if wrapper else state, tmp_path / "weights.pth")
    with caplog.at_level(logging.INFO):
        loaded = build_backbone("resnet18", str(tmp_path / "weights.pth"))
    assert torch.equal(loaded.stages.conv1.weight, network.stages.conv1.weight)
    assert "120 of 120 tensors matched" in caplog.text


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "there is no such file"),
        (b"not a checkpoint", "cannot be read as weights"),
        ({"conv1.weight": torch.zeros(64, 3, 7, 7)}, "does not fit resnet18: 1 of 120"),
        ([1, 2], "holds no dictionary"),
    ],
)
def test_wrong_files_are_refused(content, sentence, tmp_path):
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(UserError, match=sentence):
        build_backbone("resnet18", str(path))


def test_code_in_a_file_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("code was run",))

    torch.save({"state_dict": Trap()}, tmp_path / "weights.pth")
    with pytest.raises(UserError, match="cannot be read as weights"):
        build_backbone("resnet18", str(tmp_path / "weights.pth"))


def test_imagenet_weights_already_there_are_not_downloaded(network, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(weights, "_answers", lambda url: pytest.fail("asked the network"))
    (tmp_path / "checkpoints").mkdir()
    torch.save(plain(network), tmp_path / "checkpoints" / "resnet18-f37072fd.pth")
    with caplog.at_level(logging.INFO):
        loaded = build_backbone("resnet18", "imagenet")
    assert torch.equal(loaded.stages.conv1.weight, network.stages.conv1.weight)
    assert "starts from the weights in" in caplog.text


def test_without_network_the_sentence_names_file_place_and_way_on(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(weights, "_answers", lambda url: False)
    with pytest.raises(UserError) as caught:
        build_backbone("resnet18", "imagenet")
    for part in ("resnet18-f37072fd.pth", str(tmp_path), "model.weights=none"):
        assert part in str(caught.value)


def test_a_server_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setattr(weights, "PATIENCE", 0.05)

    def answer_late(*arguments, **named):
        time.sleep(0.3)
        raise OSError("too late")

    monkeypatch.setattr(weights.urllib.request, "urlopen", answer_late)
    started = time.monotonic()
    assert not weights._answers("https://example.invalid/x")
    assert time.monotonic() - started < 0.29


def test_unknown_backbone_is_refused_with_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'resnet34'"):
        build_backbone("resnet43", "none")
