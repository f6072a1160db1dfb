"""Regression to the coefficients of a basis of shapes, and to what leaves it."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from landmarks.commands.build import rebuild_model
from landmarks.errors import UserError
from landmarks.losses import mse
from landmarks.models.builders import regressor
from landmarks.models.heads import FLOOR, BasisOffsets, RegressionHead
from landmarks.models.landmarker import Landmarker
from landmarks.models.warm_start import take_weights
from landmarks.runs.checkpoint import load_checkpoint, save_checkpoint

C, K, N, SIZE = 6, 5, 3, 64


def shapes(seed=0, num_points=K, rest=0.5):
    generator = torch.Generator().manual_seed(seed)
    modes = (
        torch.randn(N, num_points, 2, generator=generator)
        * torch.tensor([8.0, 4, 2])[:, None, None]
    )
    mean = torch.rand(num_points, 2, generator=generator) * SIZE
    return SimpleNamespace(mean=mean.numpy(), modes=modes.numpy(), rest=rest)


def head_of(basis, size=SIZE):
    num_points = basis.mean.shape[0]
    return RegressionHead(C, num_points, size, mse, basis.mean, N, basis)


class OneMap(nn.Module):
    """A backbone of one convolution."""

    mean = std = (0.5, 0.5, 0.5)

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, C, 1)

    def forward(self, images):
        return [self.convolution(images)]


def model_of(basis, size=SIZE, stirred=True):
    torch.manual_seed(0)
    model = Landmarker(OneMap(), head_of(basis, size))
    if stirred:
        for parameter in model.head.parameters():
            nn.init.normal_(parameter, std=0.1)
    return model


def test_it_starts_at_the_mean_shape():
    basis = shapes()
    points, confidence = head_of(basis).decode([torch.rand(2, C, 3, 3)])
    assert torch.equal(points, torch.as_tensor(basis.mean).expand(2, K, 2))
    assert confidence.isnan().all() and confidence.shape == (2, K)


def test_a_coefficient_of_one_is_a_standard_deviation_of_its_mode_in_pixels():
    basis = shapes()
    head = head_of(basis)
    for mode in range(N):
        nn.init.zeros_(head.offsets.coefficients.bias)
        head.offsets.coefficients.bias.data[mode] = 1.0
        points, _ = head.decode([torch.zeros(1, C, 2, 2)])
        wanted = torch.as_tensor(basis.mean + basis.modes[mode])
        torch.testing.assert_close(points[0].detach(), wanted, rtol=0, atol=1e-4)


def test_what_leaves_the_basis_is_in_its_own_standard_deviations():
    basis = shapes(rest=0.5)
    head = head_of(basis)
    head.offsets.rest.bias.data[3] = 1.0
    moved = head.decode([torch.zeros(1, C, 2, 2)])[0][0].detach() - torch.as_tensor(basis.mean)
    assert moved.flatten().tolist() == pytest.approx([0, 0, 0, 0.5, *[0] * 6], abs=1e-4)
    complete = BasisOffsets(C, K, N, 1.0, shapes(rest=0.0))
    assert complete.rest_scale == pytest.approx(FLOOR)  # or its layer could never move a point


def test_shapes_outside_the_basis_are_learnt():
    torch.manual_seed(0)
    basis = shapes()
    head = head_of(basis).eval()  # one face's features are their own mean
    flat = torch.as_tensor(basis.modes).reshape(N, -1)
    outside = torch.randn(2 * K)
    outside -= outside @ torch.linalg.pinv(flat) @ flat
    truth = torch.as_tensor(basis.mean) + (3 * outside).reshape(K, 2)
    features = [torch.ones(1, C, 1, 1)]
    optimizer = torch.optim.Adam(head.parameters(), 0.05)
    first = head.loss(features, truth[None]).item()
    for _ in range(200):
        head.loss(features, truth[None]).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert head.loss(features, truth[None]).item() < 1e-3 * first


def test_masked_points_have_no_influence_and_all_layers_learn():
    model = model_of(shapes())
    images, points = torch.rand(2, 3, 4, 4) * 255, torch.rand(2, K, 2) * SIZE
    points[:, 1] = torch.nan
    model(images, points).backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in model.parameters())
    rows = model.head.offsets.rest.bias.grad.view(K, 2)
    assert not rows[1].any() and rows[[0, 2, 3, 4]].all()


def test_points_are_float32_under_autocast():
    model = model_of(shapes()).eval()
    images = torch.rand(2, 3, 4, 4) * 255
    features = model.backbone(images)
    with torch.autocast("cpu", torch.bfloat16):
        found = model.head.decode(features)[0]
    assert found.dtype == torch.float32 and torch.equal(found, model.head.decode(features)[0])


def test_a_checkpoint_holds_the_basis(tmp_path):
    node = {
        "_target_": "landmarks.models.builders.regressor",
        **{"backbone": "resnet18", "weights": "none", "basis": "pca", "components": N},
    }
    arguments = {key: node[key] for key in node if key != "_target_"}
    model = regressor(**arguments, num_points=K, size=SIZE, shapes=shapes()).eval()
    for parameter in model.head.parameters():
        nn.init.normal_(parameter, std=0.1)
    config = {"model": node, "input_size": SIZE}
    content = {"config": config, "num_points": K, "weights": model.state_dict()}
    save_checkpoint(tmp_path / "best.pt", content)
    again = rebuild_model(load_checkpoint(tmp_path / "best.pt"))
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(again(images)[0], model(images)[0])


def test_a_basis_about_the_centre_is_refused():
    with pytest.raises(UserError, match=r"use model.init_output=mean"):
        regressor(backbone="resnet18", basis="pca", init_output="center", num_points=K, size=SIZE)


def test_a_warm_start_takes_the_basis_with_its_coefficients():
    old, new = model_of(shapes()), model_of(shapes(seed=1), 3 * SIZE, stirred=False)
    take_weights(new, content_of(old), 3 * SIZE, "old.pt")
    features = [torch.rand(2, C, 1, 1)]
    wanted = (old.head.decode(features)[0] + 0.5) * 3 - 0.5
    torch.testing.assert_close(new.head.decode(features)[0], wanted)


def test_coefficients_are_not_taken_for_other_modes():
    old, new = model_of(shapes()), model_of(shapes(seed=1, num_points=K + 1), stirred=False)
    take_weights(new, content_of(old), SIZE, "old.pt")
    assert torch.equal(new.backbone.convolution.weight, old.backbone.convolution.weight)
    assert not any(parameter.any() for parameter in new.head.parameters())
    plain = Landmarker(old.backbone, RegressionHead(C, K, SIZE))
    new = model_of(shapes(seed=1), stirred=False)
    take_weights(new, content_of(plain), SIZE, "plain.pt")
    assert not any(parameter.any() for parameter in new.head.parameters())


def content_of(model):
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    return {"config": {"input_size": SIZE}, "weights": weights}
