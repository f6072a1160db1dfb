"""The training loop on a model whose gradients are known by hand, and what it says of its time."""

import time
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from refusals import refused
from torch import nn

from landmarks.data.batches.cropped_faces import Batch
from landmarks.interrupt import Stop
from landmarks.training.precision import Precision
from landmarks.training.progress import Display
from landmarks.training.schedules import Constant
from landmarks.training.time_budget import Budget
from landmarks.training.training_loop import _say_estimate, fit
from landmarks.training.training_state import Training
from landmarks.training.validation import validate

POINTS = [[2.0, 0.0], [0.0, 4.0], [6.0, 0.0], [0.0, 0.0], [8.0, 6.0]]  # gradients of five batches


class Product(nn.Module):
    """Loss and prediction are products with the weight: a batch's gradient is its own point."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    def advance(self, progress, epoch):
        pass

    def report(self):
        pass

    def forward(self, images, points=None):
        if points is None:
            return images.new_zeros(1, 1, 2) + self.weight, torch.full((1, 1), torch.nan)
        return (points.flatten(0, 1).mean(0) * self.weight).sum()


class Known:
    """Batches of one point each."""

    batch_size = 1

    def __init__(self, points):
        eye = torch.eye(2, 3)[None]
        self.batches = [
            Batch(torch.zeros(1, 3, 4, 4), point[None, None], eye, torch.arange(1), torch.ones(1))
            for point in torch.tensor(points)
        ]

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        return iter(self.batches[self.first :])

    def start_at(self, epoch, batch=0):
        self.first = batch

    first = 0

    def names_of(self, epoch, batch):
        return [f"{batch}.jpg"]


class Steps(torch.optim.SGD):
    """Notes the gradients it is given."""

    def __init__(self, model):
        super().__init__(model.parameters(), lr=1.0)
        self.taken = []

    def step(self, closure=None):
        self.taken.append(self.param_groups[0]["params"][0].grad.tolist())
        super().step()


def train(points=POINTS, batch=0, validated=((0.0, 0.0),), precision=None, **settings):
    """Train for an epoch, from a batch of it on; return the gradients of its steps."""
    model = Product()
    optimizer = Steps(model)
    precision = precision or Precision("off", torch.device("cpu"))
    training = Training(
        model, optimizer, Constant(), precision, batch=batch, step=batch, **settings
    )
    fit(
        training,
        Known(points),
        partial(validate, batches=Known(validated), precision=precision, eyes=None),
        budget=Budget(1, None, len(points), 0.0, 0.0),
        display=Display(1),
        stop=Stop(),
        keep=lambda is_best, is_epoch: None,
    )
    return optimizer.taken


def test_a_step_is_the_mean_of_its_batches():
    assert train(accumulate=1) == POINTS
    assert train(POINTS[:4], accumulate=2) == [[1, 2], [3, 0]]


def test_an_epochs_last_smaller_group_is_its_own_mean():
    assert train(accumulate=2) == [[1, 2], [3, 0], [8, 6]]
    assert train(accumulate=4) == [[2, 1], [8, 6]]
    assert train(POINTS[:3], accumulate=100)[0] == pytest.approx([8 / 3, 4 / 3])


def test_a_group_that_begins_late_is_the_mean_of_what_it_has():
    """As after a resume with another batch size or another `accumulate`."""
    assert train(batch=1, accumulate=2) == [[0, 4], [3, 0], [8, 6]]


def test_a_short_first_epoch_is_planned_on_without_its_first_steps(monkeypatch):
    """They may take many times as long as the others, and would make the plan too short."""
    told = []
    measure = Budget.measure

    def note(budget, per_step, *rest, **named):
        told.append(per_step)
        measure(budget, per_step, *rest, **named)

    monkeypatch.setattr(Budget, "measure", note)
    backward, now = Training.backward, [0.0]

    def begin_slowly(training, *given):
        now[0] += 100.0 if training.step == 0 else 0.25
        return backward(training, *given)

    monkeypatch.setattr(Training, "backward", begin_slowly)
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    train(POINTS)
    assert told == [0.25]


def test_the_limit_is_one_on_the_mean():
    assert train(accumulate=2, clip=100.0)[-1] == [8, 6]
    assert train(accumulate=2, clip=5.0)[-1] == pytest.approx([4, 3], rel=1e-5)
    assert train(accumulate=4, clip=5.0)[0] == [2, 1]


def test_a_batch_in_parts_is_the_batch():
    """In three parts, of which an epoch has two and a rest of one."""
    whole = [[sum(axis) / 3 for axis in zip(*POINTS[:3], strict=True)], POINTS[4]]
    parts = train([*POINTS[:3], POINTS[4]], accumulate=3)
    assert parts[0] == pytest.approx(whole[0]) and parts[1] == whole[1]


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_prediction_that_is_no_number_ends_training(value, monkeypatch):
    """Though the other faces' errors are known, and the spoilt one's look like missing labels."""
    found = iter([0.0, value])
    loss = Product.forward

    def predict(self, images, points=None):
        if points is not None:
            return loss(self, images, points)
        return torch.full((1, 1, 2), next(found)), torch.ones(1, 1)

    monkeypatch.setattr(Product, "forward", predict)
    with refused("epoch 1", "'1.jpg' (point 0)", "optimizer.lr"):
        train(validated=((0.0, 0.0), (1.0, 1.0)))


def test_the_rest_of_a_run_is_told_from_the_whole():
    budget = Budget(30, None, 10, 0.1, 0.0)
    budget.measure(10.0, 20.0)
    training = SimpleNamespace(
        step=255, total_steps=300, precision=SimpleNamespace(device=torch.device("cpu"))
    )
    said = []
    _say_estimate(training, budget, SimpleNamespace(say=said.append))
    # 45 steps of 10 s and five validations of 20 s
    assert all(told in said[0] for told in ("2 min 00 s", "4.5 of 30.0 epochs", "9 min 10 s"))
