"""Every family publishes what it returns, at any size, and ends in what its classifier sees."""

import pytest
import torch
from refusals import refused
from torch import nn
from torchvision.models import get_model

from landmarks.models.backbones import NAMES, TorchvisionBackbone, build_backbone
from landmarks.models.builders import regressor
from landmarks.models.landmarker import Landmarker
from landmarks.settings import check_arguments

FROM_2, FROM_4 = [2, 4, 8, 16, 32], [4, 8, 16, 32]
FAMILIES = {
    "convnext_tiny": ([96, 192, 384, 768], FROM_4),
    "densenet121": ([64, 256, 512, 1024, 1024], FROM_2),
    "efficientnet_b0": ([16, 24, 40, 112, 1280], FROM_2),
    "efficientnet_v2_s": ([24, 48, 64, 160, 1280], FROM_2),
    "mnasnet0_5": ([8, 16, 24, 48, 1280], FROM_2),
    "mobilenet_v2": ([16, 24, 32, 96, 1280], FROM_2),
    "mobilenet_v3_small": ([16, 16, 24, 48, 576], FROM_2),
    "regnet_x_400mf": ([32, 32, 64, 160, 400], FROM_2),
    "regnet_y_400mf": ([32, 48, 104, 208, 440], FROM_2),
    "resnet18": ([64, 64, 128, 256, 512], FROM_2),
    "resnext50_32x4d": ([64, 256, 512, 1024, 2048], FROM_2),
    "shufflenet_v2_x0_5": ([24, 24, 48, 96, 1024], FROM_2),
    "swin_t": ([768], [32]),
    "swin_v2_t": ([768], [32]),
    "vgg11_bn": ([128, 256, 512, 512, 512], FROM_2),
}


@pytest.fixture(scope="module", params=FAMILIES)
def backbone(request):
    torch.manual_seed(0)
    return request.param, TorchvisionBackbone(request.param)


def test_publishes_what_it_returns_and_reaches_every_parameter(backbone):
    name, body = backbone
    assert body.training and (body.channels, body.strides) == FAMILIES[name]
    means = [value for key, value in body.state_dict().items() if key.endswith("running_mean")]
    assert all((mean == 0).all() for mean in means)  # building left no trace in them
    maps = body.train()(torch.rand(2, 3, 80, 96))  # 80 is no multiple of 32
    for features, channels, stride in zip(maps, body.channels, body.strides, strict=True):
        assert features.shape[:2] == (2, channels)
        for cells, side in zip(features.shape[2:], (80, 96), strict=True):
            assert side // stride <= cells <= -(-side // stride)
    sum(features.square().mean() for features in maps).backward()
    for key, parameter in body.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key


def test_averaged_last_map_is_what_the_classifier_sees(backbone):
    name, body = backbone
    if name.startswith(("vgg", "convnext")):
        pytest.skip("averages to 7 x 7; averages before it normalises")
    network = get_model(name, weights=None).eval()
    own = body.state_dict()
    for key, value in network.state_dict().items():
        value.copy_(own.get(f"stages.{key}", value))
    seen = []
    for module in network.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        network(images)
        averaged = body.eval()(images)[-1].mean((2, 3))
    # MobileNetV3's classifier is two layers.
    classifying = [given for given in seen if given.shape == averaged.shape]
    torch.testing.assert_close(averaged, classifying[0 if "v3" in name else -1])


def test_convnext_normalises_its_last_map():
    last = TorchvisionBackbone("convnext_tiny")(torch.rand(1, 3, 64, 64))[-1]
    torch.testing.assert_close(last.mean(1), torch.zeros(1, 2, 2), atol=1e-4, rtol=0)
    torch.testing.assert_close(last.std(1), torch.ones(1, 2, 2), atol=1e-2, rtol=0)


def test_checkpoints_of_earlier_versions_keep_their_names():
    names = set(build_backbone("resnet18", "none").state_dict())
    assert {"stages.conv1.weight", "stages.layer4.1.bn2.running_var"} < names and len(names) == 120


def test_images_are_normalised_with_the_backbones_mean_and_std():
    class Plain(nn.Module):
        mean, std = (0.5, 0.5, 0.0), (0.5, 0.25, 1.0)

        def forward(self, images):
            return images

        def decode(self, features):
            return features, None

    seen, _ = Landmarker(Plain(), Plain())(torch.full((1, 3, 1, 1), 255, dtype=torch.uint8))
    torch.testing.assert_close(seen.flatten(), torch.tensor([1.0, 2.0, 1.0]))
    backbone = build_backbone("resnet18", "none")
    assert backbone.mean == (0.485, 0.456, 0.406) and backbone.std == (0.229, 0.224, 0.225)


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("resnet43", "'resnet34'"),
        ("vit_b_16", "one input size"),
        ("googlenet", "scales"),
        ("alexnet", "stride"),
        ("vit_b_17", "any input size"),
    ],
)
def test_wrong_names_are_refused_before_anything_is_read(name, named):
    with refused(f"model.backbone={name}", named) as caught:
        check_arguments(regressor, {"backbone": name}, "model")
    said = str(caught.value).partition("families ")[2].partition(")")[0].split(", ")
    assert len(said) == 12 and all(name.startswith(tuple(said)) for name in NAMES)
    assert all(any(name.startswith(family) for name in NAMES) for family in said)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_large", "efficientnet_b0"])
def test_batch_norms_follow_within_a_few_steps(name):
    norms = [m for m in TorchvisionBackbone(name).modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and {norm.momentum for norm in norms} == {0.1}
