"""Batch norms with exact statistics are torch's batch norms in float64."""

import copy

import pytest
import torch
from torch import nn

from landmarks.models import exact_batch_norm
from landmarks.models.exact_batch_norm import ExactNorm

ROUNDINGS = 4e-7  # of what is near 1, in float32


def normalise(norm, features, gradient):
    """Return what a norm gives for features, and their gradient, in float64."""
    features = features.clone(memory_format=torch.preserve_format).requires_grad_()
    normed = norm.train()(features)
    normed.backward(gradient)
    return normed.double(), features.grad.double()


def apart(one, other):
    return float((one - other).detach().abs().max())


# 6,000 and 1,331 numbers of a channel; 2 * 23 * 29 of which no part has from 8 to 256 but 23s, 29s
@pytest.mark.parametrize("shape", [(6, 8, 25, 40), (11, 3, 11, 11), (2, 5, 23, 29), (2, 4, 1, 1)])
def test_it_is_torch_s_norm_in_float64(shape):
    torch.manual_seed(0)
    features = 2 + 3 * torch.randn(shape)
    features = features.contiguous(memory_format=torch.channels_last)
    gradient = torch.randn(shape).contiguous(memory_format=torch.channels_last)
    norm = ExactNorm(shape[1])
    nn.init.uniform_(norm.weight)
    wanted = nn.BatchNorm2d(shape[1]).double()
    wanted.load_state_dict(norm.state_dict())
    found = normalise(norm, features, gradient)
    expected = normalise(wanted, features.double(), gradient.double())
    many = features[:, 0].numel() > 2  # of two numbers a channel the gradient is a difference
    assert apart(found[0], expected[0]) < 10 * ROUNDINGS
    assert apart(found[1], expected[1]) < (10 * ROUNDINGS if many else 1e-3)
    for key, value in wanted.state_dict().items():
        scale = value.double().abs().clamp(min=1)
        assert apart(norm.state_dict()[key] / scale, value / scale) <= ROUNDINGS, key
    for own, other in zip(norm.parameters(), wanted.parameters(), strict=True):
        assert apart(own.grad.double(), other.grad) < 1e-3 * float(other.grad.abs().max())


def test_torch_s_own_is_what_is_inexact():
    """If this fails torch has mended its norm, and ours has nothing left to do in one process."""
    torch.manual_seed(0)
    features = 1 + 2 * torch.randn(8, 4, 48, 48).contiguous(memory_format=torch.channels_last)
    variance = features.double().var((0, 2, 3))
    errors = []
    for kind in (nn.BatchNorm2d, ExactNorm):
        norm = kind(4, momentum=1.0)
        norm(features)
        errors.append(apart(norm.running_var / variance, torch.ones(4)))
    assert errors[1] < ROUNDINGS < errors[0] / 4


def test_the_mean_over_all_batches_can_be_kept():
    torch.manual_seed(0)
    norms = [kind(3, momentum=None) for kind in (ExactNorm, nn.BatchNorm2d)]
    for _ in range(3):
        features = torch.randn(4, 3, 20, 20).contiguous(memory_format=torch.channels_last)
        for norm in norms:
            norm(features)
    for key, value in norms[1].state_dict().items():
        torch.testing.assert_close(norms[0].state_dict()[key], value)


@pytest.mark.parametrize("how", ["evaluation", "contiguous", "compiled"])
def test_elsewhere_it_is_torch_s_own(how, monkeypatch):
    features = torch.randn(4, 3, 20, 20)
    if how != "contiguous":
        features = features.contiguous(memory_format=torch.channels_last)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: how == "compiled")
    monkeypatch.setattr(exact_batch_norm, "_Normalise", None)
    norm, own = ExactNorm(3).train(how != "evaluation"), nn.BatchNorm2d(3)
    own.train(norm.training)
    assert torch.equal(norm(features), own(features))
    assert torch.equal(copy.deepcopy(norm).running_var, own.running_var)


def test_one_number_a_channel_is_refused():
    with pytest.raises(ValueError, match="more than 1 value"):
        ExactNorm(3)(torch.randn(1, 3, 1, 1).contiguous(memory_format=torch.channels_last))
