"""The share of training that is done, which all schedules follow, where the plan changes."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from landmarks.training.precision import Precision
from landmarks.training.schedules import Schedule
from landmarks.training.training_state import Training


class Line(nn.Linear):
    """The smallest model there is."""

    def advance(self, progress, epoch):
        self.seen = progress


class Falling(Schedule):
    def __call__(self, progress):
        return 1 - progress


@pytest.fixture
def training():
    model = Line(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    return Training(model, optimizer, Falling(), Precision("off", torch.device("cpu")))


def walk(training, steps):
    """Take so many steps; return the progress before each and after the last."""
    seen = []
    for _ in range(steps):
        training.advance()
        seen.append(training.model.seen)
        training.step += 1
    return [*seen, training.progress]


def test_a_plan_that_never_changes_is_the_share_of_steps(training):
    training.plan(7)
    assert walk(training, 7) == [step / 7 for step in range(8)]


@pytest.mark.parametrize("plans", [[1000, 12, 16], [10, 100], [10, 40, 20, 90], [20, 9]])
def test_progress_never_falls_nor_leaps_where_plans_change_and_ends_at_one(training, plans):
    seen = []
    for plan in plans:
        training.plan(plan)
        seen += walk(training, 4)
    seen += walk(training, max(0, plans[-1] - training.step))
    assert seen == sorted(seen) and seen[-1] == pytest.approx(1)
    steps = [after - before for before, after in pairwise(seen)]
    assert max(steps) < 0.3


def test_a_plan_anew_is_as_if_it_had_always_been_that(training):
    training.plan(10)
    walk(training, 10)
    training.plan_anew(20)
    assert training.progress == 0.5 and walk(training, 10)[-1] == 1


def test_a_plan_is_kept_in_a_checkpoint(training):
    training.plan(10)
    walk(training, 5)
    training.plan(100)
    state = training.state_dict()
    progress = training.progress
    training.plan_anew(3)
    training.load_state_dict(state)
    assert training.progress == progress == 0.5
