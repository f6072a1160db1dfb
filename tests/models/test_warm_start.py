"""What a model takes from another's checkpoint: all that fits, and nothing that does not."""

import logging
import re

import pytest
import torch
from refusals import refused
from torch import nn

from landmarks.models import model_protocols as contracts
from landmarks.models.builders import regressor, unet
from landmarks.models.landmarker import Landmarker
from landmarks.models.warm_start import find_moved, take_weights
from landmarks.runs.checkpoint import Checkpoint


class Blocks(contracts.Backbone):
    """A made-up backbone: three blocks of the same inner names, as torchvision's are."""

    mean, std = (0.5,) * 3, (0.25,) * 3

    def __init__(self, width=4, names=("stem", "layer1", "layer2")):
        super().__init__()
        for name in names:
            block = {"conv1": nn.Conv2d(width, width, 3), "bn1": nn.BatchNorm2d(width)}
            self.add_module(name, nn.ModuleDict(block))


class Wrapped(contracts.Backbone):
    """A made-up U-Net: an encoder, and a decoder whose inner names are the encoder's."""

    mean, std = (0.5,) * 3, (0.25,) * 3

    def __init__(self, width=4):
        super().__init__()
        self.encoder = Blocks(width)
        self.decoder = Blocks(width, names=("up0", "up1"))


class Head(contracts.Head):
    """One row a landmark, and a buffer that is a setting of the run."""

    def __init__(self, num_points, sigma):
        super().__init__()
        self.maps = nn.Conv2d(4, num_points, 1)
        self.register_buffer("sigma", torch.tensor(sigma))


def made_up(backbone, num_points=5, sigma=1.5):
    """Return a model of which no two tensors are equal, by chance or by initialisation."""
    model = Landmarker(backbone, Head(num_points, sigma))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_()
    return model


def content_of(model, size=32):
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    return Checkpoint({"input_size": size}, 5, {}, None, [], {}, weights)


def changed(model, *arguments):
    """Take weights; return the names of the tensors that are other than before."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    take_weights(model, *arguments)
    return {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}


def resnet(num_points=5, size=32, seed=0, name="resnet18", refine=0):
    torch.manual_seed(seed)
    mean = torch.rand(num_points, 2) * size
    known = {"num_points": num_points, "input_size": size, "mean_points": mean}
    model = regressor(backbone=name, weights="none", refine=refine, **known)
    nn.init.normal_(model.head.offsets.weight, std=0.01)
    return model.eval()


def test_the_same_model_is_copied_exactly(caplog):
    old, new = resnet(seed=0), resnet(seed=1)
    with caplog.at_level(logging.INFO):
        take_weights(new, content_of(old), 32, "old.pt")
    for name, value in old.state_dict().items():
        assert torch.equal(new.state_dict()[name], value), name
    (record,) = caplog.records  # and none of what is not used or left as built
    assert "old.pt: 126 of 126 tensors: backbone.*, head.*, mean, std." in record.getMessage()


def test_the_heads_settings_stay_those_of_the_run():
    old, new = made_up(Blocks(), sigma=7.0), made_up(Blocks(), sigma=3.0)
    take_weights(new, content_of(old), 32, "old.pt")
    assert new.head.sigma == 3 and torch.equal(new.head.maps.weight, old.head.maps.weight)


def test_another_number_of_points_leaves_the_head_and_its_start_as_built(caplog):
    old, new = resnet(5), resnet(3, seed=1)
    with caplog.at_level(logging.INFO):
        names = changed(new, content_of(old), 32, "old.pt")
    assert torch.equal(new.backbone.stages.conv1.weight, old.backbone.stages.conv1.weight)
    assert not {name for name in names if name.startswith("head.")}
    for said in (
        "123 of 126 tensors: backbone.*, head.center.*, mean, std.",
        "head.offsets.weight (10, 1536), here (6, 1536)",
        "head.start (5, 2), here (3, 2)",
        "3 tensors: head.offsets.*, head.start.",
    ):
        assert said in caplog.text


def test_a_start_is_not_taken_without_the_offsets_from_it(caplog):
    old, new = resnet(), resnet(seed=1)
    content = content_of(old)
    content.weights["head.offsets.weight"] = torch.zeros(10, 2048)
    with caplog.at_level(logging.INFO):
        assert "head.start" not in changed(new, content, 32, "old.pt")
    assert "2 tensors: head.offsets.weight, head.start." in caplog.text


def test_at_another_input_size_the_same_features_find_the_same_place():
    old, new = resnet(size=32), resnet(size=96, seed=1)
    take_weights(new, content_of(old, size=32), 96, "old.pt")
    features = [torch.rand(2, 512, 1, 1)]
    # 0.5 px from the edge, in thirds: the corner of the image must stay its corner.
    expected = (old.head.decode(features)[0] + 0.5) * 3 - 0.5
    torch.testing.assert_close(new.head.decode(features)[0], expected)


@pytest.mark.parametrize("back", [False, True])
def test_a_backbone_inside_a_unet_is_found(back, caplog):
    old, new = made_up(Blocks()), made_up(Wrapped(), num_points=3)
    if back:
        old, new = new, old
    with caplog.at_level(logging.INFO):
        names = changed(new, content_of(old), 32, "old.pt")
    outer, inner = (old, new) if not back else (new, old)
    prefix = "backbone." if back else "backbone.encoder."
    expected = {prefix + n for n, v in outer.backbone.state_dict().items() if v.ndim}
    # Running variances are 1 in both.
    assert names == {name for name in expected if not name.endswith("running_var")}
    for name, value in outer.backbone.state_dict().items():
        assert torch.equal(inner.backbone.encoder.state_dict()[name], value)
    said = (
        "its backbone.encoder as backbone." if back else "its backbone as backbone.encoder.",
        "backbone.decoder.*",
        "head.maps.weight (3, 4, 1, 1), here (5" if back else "Left as built",
    )
    assert all(part in caplog.text for part in said)


def test_regression_and_heatmaps_share_their_encoder():
    maps = unet(backbone="resnet18", weights="none", num_points=5, input_size=32)
    plain = resnet(seed=1)
    assert {name.split(".")[1] for name in changed(maps, content_of(plain), 32, "a.pt")} == {
        "encoder"
    }
    assert torch.equal(
        maps.backbone.encoder.stages.conv1.weight, plain.backbone.stages.conv1.weight
    )
    other = resnet(seed=2)
    assert changed(other, content_of(maps), 32, "a.pt")
    assert torch.equal(other.backbone.stages.conv1.weight, plain.backbone.stages.conv1.weight)


def test_a_regression_without_corrections_starts_one_with_them():
    old, new = resnet(), resnet(seed=1, refine=1)
    take_weights(new, content_of(old), 32, "old.pt")
    images = torch.randint(0, 256, (2, 3, 32, 32))
    first = new.head.find(new.extract(images))[0]
    torch.testing.assert_close(first, old(images)[0])  # of the start that its offsets are from


@pytest.mark.parametrize(("points", "stays"), [(5, True), (3, False)])
def test_an_older_head_that_subtracts_nothing_is_not_passed_to_a_new_one(points, stays):
    old, new = resnet(5), resnet(points, seed=1)
    old.head.center.mean.fill_(torch.nan)
    take_weights(new, content_of(old), 32, "old.pt")
    assert new.head.center.mean.isnan().all() == stays


def test_heatmaps_of_another_sigma_keep_their_maps():
    wide, narrow = (
        unet(backbone="resnet18", weights="none", num_points=5, input_size=32, sigma=sigma)
        for sigma in (7, 3)
    )
    changed(narrow, content_of(wide), 32, "a.pt")
    assert torch.equal(narrow.head.weight, wide.head.weight)
    assert narrow.head.sigma == 3


def test_a_deeper_backbone_takes_the_blocks_it_shares(caplog):
    old, new = resnet(), resnet(name="resnet34", seed=1)
    with caplog.at_level(logging.INFO):
        names = changed(new, content_of(old), 32, "old.pt")
    assert "backbone.stages.layer1.1.conv2.weight" in names
    assert not {name for name in names if name.startswith("backbone.stages.layer1.2.")}
    assert "backbone.stages.layer1.2.*" in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_wider_backbone_is_said_to_fit_badly_in_few_words(caplog):
    old, new = resnet(name="resnext50_32x4d"), resnet(seed=1)
    with caplog.at_level(logging.INFO):
        take_weights(new, content_of(old), 32, "old.pt")
    (warned,) = [it.getMessage() for it in caplog.records if it.levelno >= logging.WARNING]
    assert "model.weights=imagenet" in warned and "init=" in warned
    assert all(len(record.getMessage()) < 700 for record in caplog.records)
    assert re.search(r"\d+ more\b", caplog.text)


def test_a_module_that_could_stand_in_two_places_is_not_moved():
    inside = [f"conv{i}.{name}" for i in range(3) for name in ("weight", "bias")]
    found = [f"encoder.{name}" for name in inside]
    own = [f"{side}.encoder.{name}" for side in ("left", "right") for name in inside]
    assert find_moved(found, own[: len(inside)]) == {"": "left"}
    assert find_moved(found, own) == {} == find_moved(own, found)


def test_a_few_like_names_in_another_architecture_are_no_move():
    found = [f"backbone.layer1.{i}.conv{j}.weight" for i in range(2) for j in (1, 2, 3)]
    own = [f"backbone.dense.{i}.{part}.weight" for i in (1, 2) for part in ("norm1", "conv2")]
    assert find_moved(found, own) == {}


def test_where_only_the_head_fits_nothing_is_taken():
    old = made_up(Blocks())
    new = made_up(Blocks(names=("alpha", "beta")))
    before = new.head.maps.weight.clone()
    with refused("init=old.pt", "backbone"):
        take_weights(new, content_of(old), 32, "old.pt")
    assert torch.equal(new.head.maps.weight, before)


def test_a_head_of_points_of_other_names_is_not_taken(caplog):
    names = ["a", "b", "c", "d", "e"]
    before = made_up(Blocks())
    layout = {"name": "named", "num_points": 5, "names": names}
    checkpoint = Checkpoint({"input_size": 8}, 5, layout, None, [], {}, before.state_dict())
    for now, is_taken in ((names, True), ([], True), (names[::-1], False), ([*"abcdf"], False)):
        model = made_up(Blocks())
        take_weights(model, checkpoint, 8, "run", now)
        assert torch.equal(model.head.maps.weight, before.head.maps.weight) == is_taken
        assert torch.equal(model.backbone.stem.conv1.weight, before.backbone.stem.conv1.weight)
    first, second = (record.getMessage() for record in caplog.records if record.levelno > 20)
    for said, named in ((first, ("point 0", "a", "e")), (second, ("point 4", "e", "f"))):
        assert "init=run" in said and all(re.search(rf"\b{it}\b", said) for it in named)
