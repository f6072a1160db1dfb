"""Where weights come from, and what is said when they cannot be had."""

import logging
import re
import sys
import time

import pytest
import torch
from refusals import refused
from torchvision.models import get_model_weights

from landmarks.errors import UserError
from landmarks.models import backbone_weights as weights
from landmarks.models.backbones import NAMES, build_backbone
from landmarks.models.builders import regressor


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
    assert "120 of 120" in caplog.text
    assert all(record.levelno == logging.INFO for record in caplog.records)


def test_numbers_that_are_not_finite_are_refused(network, tmp_path):
    state = plain(network) | {"conv1.weight": torch.full((64, 3, 7, 7), torch.nan)}
    torch.save(state, tmp_path / "weights.pth")
    with refused("weights.pth", 1, "conv1.weight"):
        build_backbone("resnet18", str(tmp_path / "weights.pth"))


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (None, ("imagenet", "coco", "none")),
        (b"not a checkpoint", ()),
        (
            {"conv1.weight": torch.zeros(64, 3, 7, 7)},
            ("resnet18", "1 of 120", "model.partial=true"),
        ),
        ({"blocks.0.weight": torch.zeros(2)}, ("0 of 120", "1 (blocks.0.weight)")),
        ([1, 2], ("dictionary",)),
    ],
)
def test_wrong_files_are_refused(content, named, tmp_path):
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with refused(path, *named):
        build_backbone("resnet18", str(path))


def test_partial_takes_what_fits_and_says_what_does_not(tmp_path, caplog):
    state = {"conv1.weight": torch.ones(64, 3, 7, 7), "bn1.weight": torch.ones(3)}
    torch.save({**state, "neck.weight": torch.ones(1)}, tmp_path / "weights.pth")
    with caplog.at_level(logging.INFO):
        loaded = build_backbone("resnet18", str(tmp_path / "weights.pth"), partial=True)
    assert (loaded.stages.conv1.weight == 1).all()
    assert "1 of 120" in caplog.text and "99 (bn1.weight, bn1.bias, " in caplog.text
    assert "2 (bn1.weight, neck.weight)" in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    torch.save({"neck.weight": torch.ones(1)}, tmp_path / "weights.pth")
    with refused("weights.pth"):  # nothing at all fits
        build_backbone("resnet18", str(tmp_path / "weights.pth"), partial=True)


@pytest.mark.parametrize("where", ["run folder", "training"])
def test_a_checkpoint_of_ours_is_a_file_of_weights(where, tmp_path, caplog):
    torch.manual_seed(2)
    model = regressor(backbone="convnext_tiny", weights="none", num_points=3, input_size=64)
    torch.nn.init.normal_(model.backbone.classifier[0].weight)
    state = {"weights": model.state_dict()}
    content = state if where == "run folder" else {"training": {"model": state["weights"]}}
    torch.save({"format": 1, "config": {"model": {}}, **content}, tmp_path / "best.pt")
    path = tmp_path if where == "run folder" else tmp_path / "best.pt"
    with caplog.at_level(logging.INFO):
        loaded = build_backbone("convnext_tiny", str(path))
    whole = len(loaded.state_dict())
    assert f"{tmp_path / 'best.pt'}: {whole} of {whole}" in caplog.text
    for key, value in loaded.state_dict().items():
        assert torch.equal(value, model.backbone.state_dict()[key]), key


def test_names_of_old_densenet_files_are_brought_up_to_date(tmp_path, caplog):
    torch.manual_seed(1)
    state = plain(build_backbone("densenet121", "none"))
    old = {
        re.sub(r"(norm|conv)([12])\.", r"\1.\2.", k) if "denselayer" in k else k: v
        for k, v in state.items()
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "densenet.pth")
    with caplog.at_level(logging.INFO):
        loaded = build_backbone("densenet121", str(tmp_path / "densenet.pth"))
    assert f"{len(state)} of {len(state)}" in caplog.text
    assert torch.equal(
        loaded.stages.features.denseblock4.denselayer16.conv2.weight,
        state["features.denseblock4.denselayer16.conv2.weight"],
    )


def test_safetensors(network, tmp_path, monkeypatch):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"not one")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "safetensors.torch", None)  # as if it were not installed
        with refused("pip install safetensors"):
            build_backbone("resnet18", str(path))
    with_it = pytest.importorskip("safetensors.torch")
    with refused(path):
        build_backbone("resnet18", str(path))
    with_it.save_file(plain(network), path)
    loaded = build_backbone("resnet18", str(path))
    assert torch.equal(loaded.stages.conv1.weight, network.stages.conv1.weight)
    with refused("model.weights="):
        build_backbone("resnet18", "nowhere.safetensors")


def test_code_in_a_file_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("code was run",))

    torch.save({"state_dict": Trap()}, tmp_path / "weights.pth")
    with refused(tmp_path / "weights.pth"):
        build_backbone("resnet18", str(tmp_path / "weights.pth"))


def test_imagenet_weights_already_there_are_not_downloaded(network, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(weights, "_answers", lambda url: pytest.fail("asked the network"))
    (tmp_path / "checkpoints").mkdir()
    path = tmp_path / "checkpoints" / "resnet18-f37072fd.pth"
    torch.save(plain(network), path)
    with caplog.at_level(logging.INFO):
        loaded = build_backbone("resnet18", "imagenet")
    assert torch.equal(loaded.stages.conv1.weight, network.stages.conv1.weight)
    assert f"{path}: 120 of 120" in caplog.text


@pytest.mark.parametrize("name", NAMES)
def test_without_network_the_sentence_names_file_place_and_way_on(name, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(weights, "_answers", lambda url: False)
    with pytest.raises(UserError) as caught:
        weights.load_weights(torch.nn.Identity(), name, "imagenet", partial=False)
    file = get_model_weights(name).DEFAULT.url.rpartition("/")[2]
    for part in (str(tmp_path / "checkpoints" / file), "model.weights=FILE", "model.weights=none"):
        assert part in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_a_download_is_checked_by_the_hash_in_its_name(name, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(weights, "_answers", lambda url: True)
    monkeypatch.setattr(
        torch.hub, "download_url_to_file", lambda *_, hash_prefix: given.append(hash_prefix)
    )
    with refused("model.weights="):
        weights.load_weights(torch.nn.Identity(), name, "imagenet", partial=False)
    assert re.fullmatch("[0-9a-f]{8,10}", given[0])


def test_a_server_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setattr(weights, "TIMEOUT", 0.05)

    def answer_late(*arguments, **named):
        time.sleep(0.3)
        raise OSError("too late")

    monkeypatch.setattr(weights.urllib.request, "urlopen", answer_late)
    started = time.monotonic()
    assert not weights._answers("https://example.invalid/x")
    assert time.monotonic() - started < 0.29
