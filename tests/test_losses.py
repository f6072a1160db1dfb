import math

import pytest
import torch
from torch import tensor

from landmarks.losses import adaptive_wing, l1, masked_mean, mse, smooth_l1, wing

LOSSES = [mse, l1, smooth_l1, wing]  # of points; a heatmap loss wants targets in 0..1
NAN = math.nan


def at(loss, x, **settings):
    """The loss of the error x, from both sides."""
    above = loss(tensor([x + 1.0]).double(), tensor([1.0]).double(), **settings)
    below = loss(tensor([-x]).double(), tensor([0.0]).double(), **settings)
    assert above.item() == pytest.approx(below.item(), abs=1e-12)
    return below.item()


@pytest.mark.parametrize(
    ("loss", "x", "value"),
    [
        (mse, 3.0, 9.0),
        (mse, 0.5, 0.25),
        (l1, 3.0, 3.0),
        (smooth_l1, 0.5, 0.125),
        (smooth_l1, 3.0, 2.5),
        (wing, 0.0, 0.0),
        (wing, 2.0, 10 * math.log(2)),
        (wing, 8.0, 10 * math.log(5)),
        (wing, 10.0, 17.917595),
        (wing, 100.0, 107.917595),
    ],
)
def test_values_by_hand(loss, x, value):
    assert at(loss, x) == pytest.approx(value, abs=1e-6)


def test_settings_by_hand():
    assert at(smooth_l1, 1.0, beta=2.0) == pytest.approx(0.25)
    assert at(smooth_l1, 5.0, beta=2.0) == pytest.approx(4.0)
    assert at(wing, 1.0, w=5.0, epsilon=0.5) == pytest.approx(5 * math.log(3))
    assert at(wing, 7.0, w=5.0, epsilon=0.5) == pytest.approx(2 + 5 * math.log(11))


@pytest.mark.parametrize(("w", "epsilon"), [(10.0, 2.0), (5.0, 0.5), (15.0, 3.0)])
def test_wing_is_continuous_at_w(w, epsilon):
    near = at(wing, w - 1e-9, w=w, epsilon=epsilon)
    assert near == pytest.approx(at(wing, w + 1e-9, w=w, epsilon=epsilon), abs=1e-7)
    assert near == pytest.approx(w * math.log1p(w / epsilon), abs=1e-7)


def test_wing_gradients_by_hand():
    x = tensor([0.0, 2.0, -8.0, 20.0], requires_grad=True)
    wing(x, torch.zeros(4)).sum().backward()
    assert x.grad.tolist() == pytest.approx([0, 2.5, -1, 1])


@pytest.mark.parametrize("loss", LOSSES)
def test_elementwise(loss):
    a, b = torch.randn(2, 3, 5, 2)
    assert loss(a, b).shape == (3, 5, 2)


@pytest.mark.parametrize("loss", LOSSES)
def test_missing_points_have_no_loss_and_no_gradient(loss):
    prediction = tensor([[[1.0, 2.0], [3.0, 50.0]]], requires_grad=True)
    target = tensor([[[0.5, NAN], [NAN, 20.0]]])
    value = masked_mean(loss, prediction, target)
    expected = loss(tensor([1.0, 50.0]), tensor([0.5, 20.0])).mean()
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    value.backward()
    grad = prediction.grad
    assert grad.isfinite().all()
    assert grad[0, 0, 1] == 0 and grad[0, 1, 0] == 0
    assert grad[0, 0, 0] > 0 and grad[0, 1, 1] > 0
    assert target.isnan().tolist() == [[[False, True], [True, False]]]  # not written to


@pytest.mark.parametrize("loss", LOSSES)
def test_does_not_grow_with_the_number_of_points(loss):
    generator = torch.Generator().manual_seed(0)
    prediction, target = 20 * torch.rand(2, 3, 7, 2, generator=generator)
    target[1, 2:5] = NAN
    once = masked_mean(loss, prediction, target)
    often = masked_mean(loss, prediction.repeat(1, 10, 1), target.repeat(1, 10, 1))
    assert once > 0 and often.item() == pytest.approx(once.item(), rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_nothing_labelled_is_zero_with_zero_gradient(loss):
    prediction = torch.randn(2, 4, 2, requires_grad=True)
    value = masked_mean(loss, prediction, torch.full((2, 4, 2), NAN))
    value.backward()
    assert value.item() == 0
    assert torch.equal(prediction.grad, torch.zeros(2, 4, 2))


@pytest.mark.parametrize("loss", LOSSES)
def test_float32_whatever_comes_in(loss):
    prediction = (100 * torch.rand(2, 300, 2)).bfloat16().requires_grad_()
    target = 100 * torch.rand(2, 300, 2)
    value = masked_mean(loss, prediction, target)
    assert value.dtype == torch.float32
    exact = loss(prediction.detach().double(), target.double()).mean()
    assert value.item() == pytest.approx(exact.item(), rel=1e-5)
    both = masked_mean(loss, prediction, target.bfloat16())
    assert both.dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert masked_mean(loss, prediction, target).item() == pytest.approx(value.item(), rel=1e-6)


# omega 14, theta 0.5, epsilon 1, alpha 2.1: target, slope A, constant C, value where both meet.
ADAPTIVE = [
    (0.0, 11.12142, 2.62548, 2.9352),
    (0.5, 11.11267, 1.56513, 3.9912),
    (1.0, 9.79785, -0.46153, 5.3605),
]


@pytest.mark.parametrize(("y", "slope", "constant", "meeting"), ADAPTIVE)
def test_adaptive_wing_on_the_papers_formula(y, slope, constant, meeting):
    target = tensor([y], dtype=torch.float64)
    for d in (0.0, 0.01, 0.3, 0.5 - 1e-9, 0.5 + 1e-9, 0.7, 1.5):
        curve = 14 * math.log1p(d ** (2.1 - y))
        wanted = curve if d < 0.5 else slope * d - constant
        for sign in (1, -1):
            found = adaptive_wing(target + sign * d, target).item()
            assert found == pytest.approx(wanted, abs=2e-5)
    assert adaptive_wing(target + 0.5, target).item() == pytest.approx(meeting, abs=5e-5)


@pytest.mark.parametrize("y", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("settings", [{}, {"omega": 10.0, "theta": 0.3, "epsilon": 2.0}])
def test_adaptive_wing_slopes_meet_at_theta(y, settings):
    theta = settings.get("theta", 0.5)
    x = tensor([y + theta - 1e-6, y + theta + 1e-6], dtype=torch.float64, requires_grad=True)
    adaptive_wing(x, torch.full_like(x, y).detach(), **settings).sum().backward()
    assert x.grad[0].item() == pytest.approx(x.grad[1].item(), rel=1e-4)
    numeric = 14 * (math.log1p(0.5 ** (2.1 - y)) - math.log1p(0.4999 ** (2.1 - y))) / 1e-4
    assert settings or x.grad[0].item() == pytest.approx(numeric, rel=1e-3)


def test_adaptive_wing_gradients_are_finite_everywhere():
    """Where alpha - y < 1 the power's own slope at d = 0 is infinite."""
    target = torch.linspace(0, 1, 21).repeat(6, 1)
    away = tensor([0.0, 1e-12, 1e-7, 1e-3, 0.5, 3.0]).view(-1, 1)
    for alpha in (1.5, 2.1):
        x = (target + away).requires_grad_()
        adaptive_wing(x, target, alpha=alpha).sum().backward()
        assert x.grad.isfinite().all() and (x.grad[0] == 0).all() and (x.grad[3:] > 0).all()
