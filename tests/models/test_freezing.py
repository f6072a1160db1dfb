"""What stays as it is in fine-tuning, to the bit, and what moves."""

import copy

import pytest
import torch
from refusals import refused
from torch import nn
from torch._dynamo.testing import CompileCounter

from landmarks.inference.rebuild_model import rebuild_model
from landmarks.losses import l1, mse
from landmarks.models.builders import classic_unet, regressor
from landmarks.models.freezing import FixedNorm, change_norms, group_norm, refuse_untrained
from landmarks.models.heads import RegressionHead
from landmarks.models.heatmap_head import HeatmapHead
from landmarks.models.landmarker import Landmarker
from landmarks.models.model_protocols import Backbone
from landmarks.models.unet import Unet, convolve
from landmarks.training.optimizers import adamw
from landmarks.training.precision import Precision
from landmarks.training.schedules import Constant
from landmarks.training.training_state import Training
from landmarks.training.weight_averaging import Ema

SIZE, K = 16, 3


class Tiny(Backbone):
    """Two stages with batch norms, and dropout."""

    channels, strides = [4, 8], [2, 4]
    mean, std = (0.5,) * 3, (0.25,) * 3

    def __init__(self):
        super().__init__()
        self.fine = nn.Sequential(*convolve(3, 4), nn.MaxPool2d(2))
        self.coarse = nn.Sequential(*convolve(4, 8), nn.Dropout(0.5), nn.MaxPool2d(2))

    def forward(self, images):
        fine = self.fine(images)
        return [fine, self.coarse(fine)]

    def parameters_by_stage(self):
        return [list(self.fine.parameters()), list(self.coarse.parameters())]


def tiny(freeze="none", norm="batch"):
    torch.manual_seed(0)
    body = Tiny()
    change_norms(body, norm)
    return Landmarker(body, RegressionHead(8, K, SIZE, l1), freeze)


def tiny_unet(freeze="none", norm="batch"):
    torch.manual_seed(0)
    body = Unet(Tiny(), 4, 6)
    change_norms(body, norm)
    return Landmarker(body, HeatmapHead(6, K, SIZE, mse, fuse=False), freeze)


def faces(count=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, SIZE, SIZE), generator=generator, dtype=torch.uint8)
    return images, torch.rand(count, K, 2, generator=generator) * SIZE


def in_training(model, forward=None):
    optimizer = adamw(model, lr=0.01, weight_decay=0.1)
    ema = Ema(model, 0.9)
    return Training(
        model, optimizer, Constant(), Precision("off", torch.device("cpu")), ema, forward, 0
    )


def train(training, epochs, batches=2, accumulate=1):
    """Take steps as the engine does; return the losses."""
    losses = []
    for _ in range(epochs):
        training.model.train()
        for batch in range(batches * accumulate):
            training.advance()
            loss = training.forward(*faces(seed=batch))
            (loss / accumulate).backward()
            losses.append(loss.item())
            if (batch + 1) % accumulate == 0:
                training.precision.step(training.optimizer, clip=1.0)
                training.optimizer.zero_grad(set_to_none=True)
                training.ema.update()
        training.epoch += 1
    return losses


def moved(before, model):
    return {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize(
    ("make", "encoder"), [(tiny, "backbone."), (tiny_unet, "backbone.encoder.")]
)
def test_a_frozen_backbone_stays_and_all_else_moves(make, encoder, accumulate):
    model = make("backbone")
    training, before = in_training(model), state(model)
    train(training, 2, accumulate=accumulate)
    trained = {name for name, _ in model.named_parameters() if not name.startswith(encoder)}
    for judged in (model, training.judged):
        names = moved(before, judged)
        assert not {name for name in names if name.startswith(encoder)}
        assert names >= trained
    held = {id(p) for group in training.optimizer.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        assert (id(parameter) in held) == (name in trained), name
        assert parameter.requires_grad == (name in trained), name


def test_frozen_features_are_those_of_prediction():
    """Dropout is off and statistics are the running ones, in the mode of training too."""
    model = tiny("backbone").train()
    assert model.head.training and not model.backbone.coarse[3].training
    images = torch.rand(2, 3, SIZE, SIZE)
    assert torch.equal(model.backbone(images)[1], model.eval().backbone(images)[1])
    assert not model.head.training


@pytest.mark.parametrize("make", [tiny, tiny_unet])
def test_frozen_for_some_epochs_then_trained(make):
    training = in_training(make(2))
    before = state(training.model)
    train(training, 2)
    names = moved(before, training.model)
    assert names and not any("fine" in name or "coarse" in name for name in names)
    train(training, 1)
    assert moved(before, training.model) >= {
        n for n in before if "fine" in n or "coarse" in n
    }  # batch statistics as well


def test_unfrozen_from_a_checkpoint_it_goes_on_with_the_same_bits():
    whole = in_training(tiny(1))
    train(whole, 1)
    saved = copy.deepcopy(whole.state_dict())
    train(whole, 2)
    parts = in_training(tiny(1))
    parts.load_state_dict(saved)
    train(parts, 2)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(parts.model.state_dict()[name], value), name
    assert str(whole.optimizer.state_dict()) == str(parts.optimizer.state_dict())


def test_compiled_it_freezes_and_trains_alike_and_compiles_twice():
    plain = in_training(tiny(2))
    plain.model.backbone.coarse[3].p = 0.0  # its random numbers differ
    counter = CompileCounter()
    model = copy.deepcopy(plain.model)
    compiled = in_training(model, torch.compile(model, backend=counter))
    assert train(plain, 4) == pytest.approx(train(compiled, 4))
    for name, value in plain.model.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, msg=name)
    assert counter.frame_count == 2


def test_a_frozen_torchvision_network_keeps_its_graph():
    """Its train and eval graphs change places with its mode, and a compiled one is then stale."""
    model = regressor(
        backbone="resnet18", weights="none", freeze="backbone", num_points=K, input_size=32
    )
    forward = type(model.backbone.stages).forward
    assert model.train().backbone.stages.get_submodule("layer1.0.bn1").training is False
    assert model.eval().train() and type(model.backbone.stages).forward is forward


@pytest.mark.parametrize("make", [tiny, tiny_unet])
def test_a_frozen_norm_keeps_statistics_and_trains_weight_and_bias(make):
    model = make(norm="frozen")
    fixed = [n for n, module in model.named_modules() if isinstance(module, FixedNorm)]
    assert len(fixed) == 2
    training, before = in_training(model), state(model)
    train(training, 2)
    names = moved(before, model)
    for name in fixed:
        assert {f"{name}.weight", f"{name}.bias"} <= names
        assert not {f"{name}.running_mean", f"{name}.running_var"} & names


def test_a_frozen_norm_is_the_batch_norm_in_prediction():
    norm = nn.BatchNorm2d(4)
    norm(torch.randn(8, 4, 5, 5) * 3 + 1)
    images = torch.randn(2, 4, 5, 5)
    fixed = FixedNorm(norm).train()
    assert torch.equal(fixed(images), norm.eval()(images))


@pytest.mark.parametrize("make", [tiny, tiny_unet, lambda norm: classic_unet_of(norm)])
def test_with_group_norms_a_face_does_not_see_its_batch(make):
    torch.manual_seed(0)
    model = make(norm="group")
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    images = torch.rand(3, 3, SIZE, SIZE)
    features = model.train().backbone(images)[-1]
    torch.testing.assert_close(features[:1], model.backbone(images[:1])[-1])


def classic_unet_of(norm):
    return classic_unet(norm=norm, stride=4, num_points=K, input_size=SIZE)


@pytest.mark.parametrize(("channels", "groups"), [(512, 32), (64, 32), (32, 16), (24, 8), (58, 2)])
def test_group_norms_keep_weights_and_have_equal_groups(channels, groups):
    norm = nn.BatchNorm2d(channels)
    nn.init.normal_(norm.weight)
    made = group_norm(norm)
    assert made.num_groups == groups and made.weight is norm.weight and made.bias is norm.bias


@pytest.mark.parametrize("norm", ["frozen", "group"])
def test_norms_start_from_pretrained_weights_and_come_back_from_a_checkpoint(
    norm, checkpoint_of, tmp_path
):
    torch.manual_seed(1)
    settings = {"backbone": "resnet18", "norm": norm}
    source = regressor(backbone="resnet18", weights="none", num_points=K, input_size=32)
    for parameter in source.parameters():
        nn.init.normal_(parameter, std=0.1)
    torch.save(source.backbone.state_dict(), tmp_path / "weights.pth")
    path = str(tmp_path / "weights.pth")
    model = regressor(**settings, weights=path, num_points=K, input_size=32)
    nn.init.normal_(model.head.offsets.weight, std=0.01)
    for name, parameter in source.backbone.named_parameters():
        assert torch.equal(model.backbone.get_parameter(name), parameter), name
    node = {"_target_": "landmarks.models.builders.regressor", **settings, "weights": path}
    again = rebuild_model(checkpoint_of({"model": node}, K, weights=model.state_dict()))
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(again(images)[0], model.eval()(images)[0])


@pytest.mark.parametrize("norm", ["frozen", "group"])
def test_a_backbone_without_batch_norms_is_refused(norm):
    backbone = Tiny()
    backbone.fine, backbone.coarse = nn.GroupNorm(1, 3), nn.Conv2d(3, 8, 3)
    with refused(f"model.norm={norm}", "model.norm=batch"):
        change_norms(backbone, norm)


@pytest.mark.parametrize("node", [{"freeze": "backbone"}, {"freeze": 3}, {"norm": "frozen"}])
def test_keeping_what_random_weights_know_is_refused(node):
    ((name, value),) = node.items()
    with refused(f"model.{name}={value}", "model.weights=none"):
        refuse_untrained(node)
    refuse_untrained({"freeze": "none", "norm": "group"})
    for moving in ("auto", False):  # keypoint_rcnn's
        refuse_untrained({"freeze": moving})
