"""Every model of configs/model keeps what backbones and heads promise; losses say what for."""

import functools
from importlib.resources import files

import pytest
import torch
from hydra.utils import get_object
from omegaconf import OmegaConf
from refusals import refused

from landmarks.losses import DOMAINS, adaptive_wing, check_domain, l1
from landmarks.models.builders import classic_unet, regressor
from landmarks.models.model_protocols import Backbone, Head

SIZE, K = 64, 3


def nodes_of(group):
    for file in files("landmarks.configs").joinpath(group).iterdir():
        if file.name.endswith(".yaml"):
            yield file.name, OmegaConf.create(file.read_text())


MODELS = {  # one of each builder is enough: the backbones have tests of their own
    node["_target_"]: {**node, "weights": "none", "backbone": "resnet18"}
    for _, node in nodes_of("model")
}


@pytest.mark.parametrize("target", sorted(MODELS))
def test_a_model_is_a_backbone_and_a_head_that_keep_their_promises(target):
    build = get_object(target)
    known = functools.partial(build).func.__kwdefaults__ or {}
    takes = {*known, *build.__annotations__}
    node = {key: value for key, value in MODELS[target].items() if key in takes}
    model = build(**node, num_points=K, input_size=SIZE).eval()
    backbone, head = model.backbone, model.head
    assert isinstance(backbone, Backbone) and isinstance(head, Head)
    assert len(backbone.mean) == len(backbone.std) == 3
    features = model.extract(torch.zeros(1, 3, SIZE, SIZE))
    assert [f.shape[1] for f in features] == list(backbone.channels)
    for f, stride in zip(features, backbone.strides, strict=True):
        assert f.shape[-1] == -(-SIZE // stride)
    staged = {id(p) for stage in model.parameters_by_stage() for p in stage}
    assert staged == {id(p) for p in backbone.pretrained().parameters()}
    head.advance(0.5)
    head.report()
    if head.has_maps:
        predicted, targets = head.maxima(features, [range(K)], torch.zeros(1, K, 2))
        assert predicted.shape == targets.shape == (1, 1, *features[-1].shape[2:])


@pytest.mark.parametrize(("name", "node"), list(nodes_of("loss")))
def test_every_loss_says_what_it_compares(name, node):
    loss = get_object(node["_target_"])
    assert loss.domains and {*loss.domains} <= {*DOMAINS}


def test_a_loss_of_another_domain_is_refused():
    loss = functools.partial(adaptive_wing, omega=7.0)
    check_domain(loss, "maps")
    with refused("loss=adaptive_wing", "heatmaps", "coordinates"):
        check_domain(loss, "pixels")
    with refused("loss=adaptive_wing"):
        regressor(
            backbone="resnet18", weights="none", num_points=K, input_size=32, elementwise=loss
        )
    for built in (l1, loss):
        classic_unet(num_points=K, input_size=32, elementwise=built, fuse=False)
