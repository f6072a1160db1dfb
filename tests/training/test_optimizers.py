"""Which parameter moves at which rate, and what decays, after one real step."""

import pytest
import torch

from landmarks.errors import UserError
from landmarks.models.backbones import TorchvisionBackbone
from landmarks.models.builders import classic_unet, regressor, unet
from landmarks.training.optimizers import adam, adamw, sgd
from landmarks.training.precision import Precision
from landmarks.training.schedules import Schedule
from landmarks.training.training_state import Training

FACES = {"num_points": 3, "input_size": 32}
STAGES = {  # of resnet18, and how many come after
    **{"conv1": 4, "bn1": 4, "layer1": 3, "layer2": 2, "layer3": 1, "layer4": 0},
}


class Falling(Schedule):
    def __call__(self, progress):
        return 1 - progress


@pytest.fixture(scope="module")
def made():
    """A regressor and a U-Net of one resnet18, by the prefix of their encoder's names."""
    settings = {"backbone": "resnet18", "weights": "none", **FACES}
    return {
        "backbone.stages.": regressor(**settings),
        "backbone.encoder.stages.": unet(**settings, width=8, fuse=False),
    }


def steps_of(model, optimizer, gradient=1.0):
    """Return by name how far each value moved in a step with this gradient, and put it back."""
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, gradient)
    optimizer.step()
    moved = {}
    for name, parameter in model.named_parameters():
        moved[name] = before[name] - parameter.detach()
        parameter.data.copy_(before[name])
        parameter.grad = None
    return moved


@pytest.mark.parametrize("prefix", ["backbone.stages.", "backbone.encoder.stages."])
@pytest.mark.parametrize(
    ("make", "lr"), [(sgd, 0.5), (adam, 0.25), (adamw, 0.25)], ids=["sgd", "adam", "adamw"]
)
@pytest.mark.parametrize(("scale", "decay"), [(1.0, 1.0), (0.5, 1.0), (1.0, 0.5), (0.5, 0.5)])
def test_every_stage_moves_at_its_own_rate(made, prefix, make, lr, scale, decay):
    model = made[prefix]
    optimizer = make(model, lr=lr, weight_decay=0.0, backbone_lr_scale=scale, layer_decay=decay)
    for name, step in steps_of(model, optimizer).items():
        expected = lr
        if name.startswith(prefix):
            module = name.removeprefix(prefix).partition(".")[0]
            expected = lr * scale * decay ** STAGES[module]
        torch.testing.assert_close(step, torch.full_like(step, expected), msg=name)


def test_weights_decay_and_norms_and_biases_do_not(made):
    model = made["backbone.encoder.stages."]
    optimizer = adamw(model, lr=0.5, weight_decay=0.25, backbone_lr_scale=0.5)
    steps = steps_of(model, optimizer, gradient=0.0)
    for name, parameter in model.named_parameters():
        rate = 0.25 if name.startswith("backbone.encoder.") else 0.5
        expected = 0.25 * rate * parameter if parameter.ndim >= 2 else torch.zeros_like(parameter)
        torch.testing.assert_close(steps[name], expected, msg=name, rtol=1e-3, atol=1e-6)


def test_a_schedule_multiplies_every_groups_own_rate(made):
    optimizer = adamw(made["backbone.stages."], lr=1.0, backbone_lr_scale=0.5, layer_decay=0.5)
    precision = Precision("off", torch.device("cpu"))
    training = Training(made["backbone.stages."], optimizer, Falling(), precision)
    training.step, training.total_steps = 3, 4
    training.advance()
    assert training.rate == 0.25  # the head's, which is what a run reports
    rates = sorted({group["lr"] for group in optimizer.param_groups})
    assert rates == [0.25 * 0.5**behind for behind in (5, 4, 3, 2, 1, 0)]


def test_as_it_comes_there_are_two_groups(made):
    """So a checkpoint from before there were rates by stage can be resumed."""
    model = made["backbone.stages."]
    decayed, others = adamw(model, lr=1e-3).param_groups
    assert decayed["params"] == [p for p in model.parameters() if p.ndim >= 2]
    assert others["params"] == [p for p in model.parameters() if p.ndim < 2]
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.01, 0.0)


def test_what_is_frozen_is_in_no_group():
    model = regressor(backbone="resnet18", weights="none", freeze="backbone", **FACES)
    groups = adamw(model, lr=1.0, backbone_lr_scale=0.5, layer_decay=0.5).param_groups
    assert [group["params"] for group in groups] == [
        [model.head.offsets.weight],
        [model.head.offsets.bias],
    ]


@pytest.mark.parametrize(
    ("name", "count"), [("mobilenet_v3_small", 5), ("convnext_tiny", 4), ("shufflenet_v2_x0_5", 4)]
)
def test_every_parameter_of_a_backbone_is_of_one_stage(name, count):
    network = TorchvisionBackbone(name)
    stages = network.parameters_by_stage()
    assert len(stages) == count and all(stages)  # ShuffleNet pools once without any
    assert sorted(id(p) for stage in stages for p in stage) == sorted(map(id, network.parameters()))


def test_stages_of_a_single_one_cannot_be_set_apart():
    model = classic_unet(stride=4, **FACES, fuse=False)
    with pytest.raises(UserError, match=r"optimizer\.layer_decay="):
        sgd(model, lr=1.0, layer_decay=0.5)
