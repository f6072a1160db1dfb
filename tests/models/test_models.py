"""One contract for every model: shapes, gradient, masked points, save/load, it learns, it moves."""

import functools
from importlib.resources import files

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from made_runs import build_narrow
from omegaconf import OmegaConf
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call

from landmarks.commands.preparing.config_groups import build
from landmarks.inference.rebuild_model import rebuild_model
from landmarks.losses import l1, mse
from landmarks.models import backbones
from landmarks.models.heads import pool_moments
from landmarks.runs.checkpoint import load_checkpoint, save_checkpoint

SIZE, K = 32, 5
# The same code as a smaller one that is tested: to build and run them all takes minutes.
LARGER = set(
    "resnet34 resnet50 resnext50 wide_resnet50 densenet201 efficientnet_v2_s "
    "unet_resnet34 unet_convnext_tiny".split()
)
MODELS = sorted(
    f.name.removesuffix(".yaml")
    for f in files("landmarks.configs.model").iterdir()
    if f.name.endswith(".yaml")
)
# Boxes are chosen on the host, and it is slow: tests/models/keypoint_rcnn has its contract.
APART = {"keypoint_rcnn"}
every_model = pytest.mark.parametrize("name", sorted(set(MODELS) - LARGER - APART))
# What a head does, whatever its backbone; test_backbones.py has the backbones.
each_head = pytest.mark.parametrize("name", ["resnet18", "unet", "unet_resnet18"])


@functools.cache
def node_of(name):
    with initialize_config_module("landmarks.configs", version_base="1.3"):
        node = OmegaConf.to_container(compose("train", overrides=[f"model={name}"]).model)
    # Compiling takes long; tests/heatmaps/test_compile_loss.py has what it must equal.
    settled = {"weights": "none", "fuse": False}
    return {key: settled.get(key, value) for key, value in node.items()}


@functools.cache
def kept(name):
    """A model that tests share: they leave its weights as they are."""
    return make(name).eval()


def make(name, elementwise=l1, size=SIZE, stirred=True):
    torch.manual_seed(0)
    mean = torch.linspace(5, 25, 2 * K).reshape(K, 2)
    node = node_of(name)
    model = build(node, num_points=K, input_size=size, elementwise=elementwise, mean_points=mean)
    if stirred:  # as after some training: heads may start with weights of zero
        for parameter in model.head.parameters():
            torch.nn.init.normal_(parameter, std=0.01)
    return model


def faces(count=2, seed=0, size=SIZE):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, size, size), generator=generator, dtype=torch.uint8)
    points = torch.rand(count, K, 2, generator=generator) * size
    return images.contiguous(memory_format=torch.channels_last), points


@each_head
def test_loss_is_a_float32_scalar_and_reaches_every_parameter(name):
    model = make(name).train()
    loss = model(*faces())
    assert loss.shape == () and loss.dtype == torch.float32
    loss.backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
    assert sum(p.grad.abs().sum() > 0 for p in model.parameters()) > 0.9 * len(
        list(model.parameters())
    )


@each_head
def test_predicts_points_and_confidence_in_float32(name):
    model = kept(name)
    images, _ = faces(3)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        points, confidence = model(images)
    assert points.shape == (3, K, 2) and confidence.shape == (3, K)
    assert points.dtype == torch.float32 and points.isfinite().all()


@pytest.mark.parametrize("name", ["resnet18"])
def test_starts_at_the_mean_shape(name):
    points, _ = make(name, stirred=False).eval()(faces()[0])
    mean = torch.linspace(5, 25, 2 * K).reshape(K, 2)
    assert torch.equal(points, mean.expand(2, K, 2))


@each_head
def test_masked_points_have_no_influence(name):
    """What is unlabelled has no gradient; its head's rows, of offsets or maps, stay as they are."""
    model = make(name, mse).train()
    images, points = faces()
    points[:, 1:3] = torch.nan
    loss = model(images, points)
    loss.backward()
    assert loss.isfinite() and all(p.grad.isfinite().all() for p in model.parameters())
    bias = model.head.offsets.bias if hasattr(model.head, "offsets") else model.head.bias
    rows = bias.grad.view(K, -1)
    assert (rows[1:3] == 0).all() and (rows[[0, 3, 4]] != 0).all()


@every_model
def test_checkpoint_rebuilds_the_model_alone(name, checkpoint_of, tmp_path):
    model = kept(name)
    config = {"model": node_of(name), "input_size": SIZE}
    save_checkpoint(tmp_path / "best.pt", checkpoint_of(config, K, weights=model.state_dict()))
    again = rebuild_model(load_checkpoint(tmp_path / "best.pt"))
    images, _ = faces()
    with torch.no_grad():
        assert torch.equal(again(images)[0], model(images)[0])


@pytest.mark.parametrize("name", ["resnet18", "unet_resnet18"])
def test_with_mirror_images_a_mirrored_face_has_mirrored_points(name):
    model = make(name).eval()
    images, _ = faces(3)
    mirrored = images.flip(3)
    flip = torch.tensor([1, 0, 2, 4, 3])

    def mirror(points):
        return torch.stack([SIZE - 1 - points[..., 0], points[..., 1]], 2)[:, flip]

    with torch.no_grad():
        alone, reflected = model(images)[0], mirror(model(mirrored)[0])
        model.flip = flip
        together, confidence = model(images)
        torch.testing.assert_close(together, mirror(model(mirrored)[0]))
    assert not torch.allclose(alone, reflected) and confidence.shape == (3, K)
    low, high = torch.minimum(alone, reflected) - 1e-4, torch.maximum(alone, reflected) + 1e-4
    assert ((together >= low) & (together <= high)).all()
    if name == "resnet18":  # knows no confidence
        torch.testing.assert_close(together, (alone + reflected) / 2)


@pytest.mark.parametrize("name", ["resnet18", "unet_resnet18"])
def test_overfits_eight_faces(name, monkeypatch):
    monkeypatch.setattr(backbones, "get_model", build_narrow)
    model = make(name).train()
    images, points = faces(8)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    first = None
    for _ in range(40):
        loss = model(images, points)
        first = first if first is not None else loss.item()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss.item() < 0.25 * first  # one shape for all eight: 0.8


@pytest.mark.parametrize("name", ["convnext_tiny", *each_head.args[1]])
def test_runs_on_a_fake_cuda_device_without_synchronisation(name):
    """Mixed devices and host reads of device values raise there, with no GPU in the machine."""
    model = kept(name).train()
    state = model.state_dict()
    with FakeTensorMode(), torch.device("cuda"):
        fakes = {key: torch.empty(value.shape, dtype=value.dtype) for key, value in state.items()}
        images = torch.zeros(2, 3, SIZE, SIZE, dtype=torch.uint8)
        points = torch.zeros(2, K, 2)
        loss = functional_call(model, fakes, (images, points))
        assert loss.device.type == "cuda" and loss.dtype == torch.float32
        predicted, confidence = functional_call(model.eval(), fakes, (images,))
        assert predicted.device.type == confidence.device.type == "cuda"


def test_pooled_features_say_where_a_channel_answers():
    """Of one answer in a map of 2x4 cells: a share of it, and that times its place, -2 to 2."""
    features = torch.zeros(1, 2, 2, 4)
    features[0, 0, 1, 0] = 8.0  # left, below
    features[0, 1] = 3.0  # everywhere alike
    mean, across, down = pool_moments(features).view(3, 2)
    assert mean.tolist() == [1, 3] and across.tolist() == [-1.5, 0] and down.tolist() == [1, 0]


def test_regression_converts_normalised_offsets_to_pixels():
    small, large = make("resnet18", size=64).head, make("resnet18", size=128).head
    features = [torch.ones(1, channels, 8, 8) for channels in (96, 512)]
    large.load_state_dict(small.state_dict())
    moved_small = small.find(features)[0] - small.start
    moved_large = large.find(features)[0] - large.start
    np.testing.assert_allclose(2 * moved_small.detach(), moved_large.detach(), rtol=1e-5)
