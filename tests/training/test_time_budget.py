import time

import pytest
import torch
from refusals import refused

from landmarks.training.time_budget import Budget, StepClock, memory_in_use, say_duration


class Clock:
    """A clock that only moves when told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


def budget(clock, epochs=None, max_time=None, steps=10, share=0.1):
    return Budget(epochs, max_time, steps, share, clock())


def test_epochs_alone(clock):
    plan = budget(clock, epochs=3)
    assert plan.guess(0) == plan.plan(0, 0) == plan.plan(29, 9) == 30
    plan.measure(1e6)
    clock.now += 1e9
    assert plan.plan(12, 2) == 30 and not plan.is_over() and plan.ending == 0


def test_neither_is_refused(clock):
    with refused("epochs=null", "max_time=2h"):
        budget(clock)


def test_plan_by_hand(clock):
    plan = budget(clock, max_time=200)
    assert plan.guess(0) >= 1000 and plan.ending == 5  # more than there will be
    plan.measure(1.0, 2.0)  # an epoch: 10 x 1 s and 2 s
    # 0.96 x (200 - 5) = 187 s: 15 epochs of 12 s, and 7 s for 5 more steps and 2 s
    assert plan.plan(0, 0) == 155
    clock.now += 50
    # 0.96 x (200 - 50 - 5) = 139 s, and the 4 s of the epoch under way: 11 epochs, 11 s for 9 steps
    assert plan.plan(34, 4) == 30 + 110 + 9


def test_epochs_cap_the_plan(clock):
    plan = budget(clock, epochs=4, max_time=200)
    plan.measure(1.0, 2.0)
    assert plan.guess(0) == plan.plan(0, 0) == 40
    clock.now += 172  # 0.96 x (200 - 172 - 5) = 22 s: one epoch, and 8 steps with their validation
    assert plan.plan(10, 0) == 10 + 10 + 8


def test_validation_is_guessed_until_seen(clock):
    plan = budget(clock, max_time=200, share=0.5)
    plan.measure(1.0)
    assert plan.per_validation == 5
    assert plan.plan(0, 0) == 10 * 12 + 2  # 187 s: 12 epochs of 15 s, 7 s for 2 steps and 5 s
    plan.measure(1.0, 2.0)
    assert plan.plan(0, 0) == 155


def test_no_more_steps_when_the_time_is_up(clock):
    plan = budget(clock, max_time=20)
    plan.measure(1.0, 2.0)
    clock.now += 30
    assert plan.plan(7, 7) == 7 and plan.plan(20, 0) == 20


def test_is_over(clock):
    plan = budget(clock, max_time=100)
    plan.measure(1.0, 10.0)
    clock.now += 83.9  # 100 - 1.1 x 10 - 5 = 84
    assert not plan.is_over()
    clock.now += 0.2
    assert plan.is_over()


def test_short_trainings_keep_a_tenth_for_the_ending(clock):
    assert budget(clock, max_time=20).ending == 2


def train(clock, plan, per_step, validation_time, ending_time=2.0, done=0, stop_at=None):
    """Train as the engine does, on the clock; return steps and validations done."""
    step, epoch = done, 0
    end = plan.guess(step)
    while step < end:
        started, over = clock.now, False
        first = batch = step % plan.steps_per_epoch
        known = plan.knows(step)
        while batch < min(plan.steps_per_epoch, batch + end - step) and not over:
            clock.now += per_step(step)
            step, batch = step + 1, batch + 1
            if step == stop_at:
                return step, epoch
            if not known and batch - first == min(5, plan.steps_per_epoch):
                known = True
                plan.measure((clock.now - started) / (batch - first), step=step - 1)
                end = plan.plan(step, batch)
            over = plan.is_over()
        plan.measure((clock.now - started) / (batch - first), validation_time, step - 1)
        clock.now += validation_time
        epoch += 1
        end = step if over else end
        end = plan.plan(step, 0) if step < end else end
    clock.now += ending_time
    return step, epoch


@pytest.mark.parametrize("max_time", [60, 600, 3600])
@pytest.mark.parametrize(
    ("per_step", "epoch_share", "guess_is_off"),
    [(0.1, 0.02, 3), (0.2, 0.1, 3), (0.3, 0.3, 1), (0.2, 0.3, 0.5), (0.4, 1.1, 1), (0.05, 8, 1)],
)
def test_a_steady_training_fills_its_time_and_not_more(
    clock, max_time, per_step, epoch_share, guess_is_off
):
    """Whether an epoch takes a fiftieth of the time or eight times as long."""
    steps = round(max_time * epoch_share / per_step)
    plan = budget(clock, max_time=max_time, steps=steps, share=0.04)
    validation_time = guess_is_off * 0.04 * per_step * steps
    done, epochs = train(clock, plan, lambda step: per_step, validation_time)
    spent = clock.now - 1000
    assert 0.8 * max_time < spent <= max_time
    assert done * per_step + epochs * validation_time + 2 == pytest.approx(spent)


def test_epochs_end_a_training_with_time_left(clock):
    plan = budget(clock, epochs=3, max_time=1e5, steps=10)
    assert train(clock, plan, lambda step: 0.5, 1.0) == (30, 3)


@pytest.mark.parametrize("slower", [1.0003, 1.002])
@pytest.mark.parametrize("steps", [50, 100000])
def test_a_training_that_slows_down_ends_in_time(clock, slower, steps):
    plan = budget(clock, max_time=600, steps=steps, share=2 / steps / 0.1)
    train(clock, plan, lambda step: 0.1 * slower**step, validation_time=2.0)
    assert 480 < clock.now - 1000 <= 600


@pytest.mark.parametrize("stop_at", [3, 60, 177])
def test_several_sessions_share_max_time(clock, stop_at):
    """The pause between them costs nothing, each one's start does."""
    whole = train(clock, budget(clock, max_time=200), lambda step: 0.5, 1.0)
    begun = clock.now
    done, _ = train(clock, budget(clock, max_time=200), lambda step: 0.5, 1.0, stop_at=stop_at)
    spent = clock.now - begun
    clock.now += 1e6
    second = Budget(None, 200, 10, 0.1, clock() - spent)
    begun = clock.now
    clock.now += 4  # data are opened again
    steps, _ = train(clock, second, lambda step: 0.5, 1.0, done=done)
    assert 160 < spent + clock.now - begun <= 200
    assert whole[0] - 20 < steps <= whole[0]


def test_before_steps_are_measured_the_first_ones_are_gone_by(clock):
    plan = Budget(None, 200, 10, 0.1, clock() - 50)
    assert plan.guess(0) >= 1000
    assert plan.guess(100) == int(100 * 0.96 * 195 / 50)
    assert Budget(20, 200, 10, 0.1, clock() - 50).guess(100) == 200
    assert Budget(None, 200, 10, 0.1, clock() - 199).guess(100) == 100


@pytest.mark.parametrize(("spent", "left"), [(0, True), (187, True), (187.3, False), (1e6, False)])
def test_has_time(clock, spent, left):
    assert Budget(None, 200, 10, 0.1, clock() - spent).has_time() is left  # 0.96 x (200 - 5)
    assert Budget(3, None, 10, 0.1, clock() - spent).has_time()


FROZEN = {"frozen_epochs": 2}


def test_plan_by_hand_while_the_backbone_is_frozen(clock):
    plan = Budget(None, 200, 10, 0.1, clock(), **FROZEN, thaw=3)
    plan.measure(1.0, 2.0, 4)
    # 187.2 s: two epochs of 12 s, five of 32 s, and 3.2 s for no step more
    assert plan.plan(0, 0) == 70 and plan.seconds_for(70) == 20 + 150 + 14
    assert plan.seconds_for(10, 15) == 5 + 15 + 2
    clock.now += 15
    # 172.8 s and the 3 s under way: two epochs of 12 s, four of 32 s, and 23.8 s for 7 steps
    assert plan.plan(3, 3) == 60 + 7
    plan.measure(1.0, 2.0, 20)  # thawed, and no dearer
    assert plan.plan(20, 0) == 20 + 140 + 2


def test_the_steps_of_a_backbone_that_is_no_longer_frozen_are_measured_again(clock):
    plan = Budget(None, 200, 10, 0.1, clock(), **FROZEN, thaw=3)
    assert not plan.knows(0)
    plan.measure(1.0, step=4)
    assert plan.knows(19) and not plan.knows(20)
    plan.measure(2.0, step=24)
    assert plan.knows(20) and plan.knows(19)


@pytest.mark.parametrize("thaw", [1.5, 3, 4])
def test_a_training_that_begins_frozen_fills_its_time_and_not_more(clock, thaw):
    plan = Budget(None, 600, 100, 0.1, clock(), **FROZEN, thaw=thaw)
    train(clock, plan, lambda step: 0.1 if step < 200 else 0.3, 1.0)
    assert 480 < clock.now - 1000 <= 600


def test_seconds_for(clock):
    plan = budget(clock, epochs=5)
    plan.measure(2.0, 3.0)
    assert plan.seconds_for(20) == 46 and plan.seconds_for(21) == 51 and plan.seconds_for(0) == 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (89, "89 s"),
        (90, "1 min 30 s"),
        (200, "3 min 20 s"),
        (119.6, "2 min 00 s"),
        (5399, "89 min 59 s"),
        (5400, "1 h 30 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_say_duration(seconds, words):
    assert say_duration(seconds) == words


@pytest.mark.parametrize(
    ("steps", "needed", "known"),
    [(4, True, None), (5, True, 0.1), (60, True, 0.1), (60, False, None)],
)
def test_first_steps_that_compile_and_record_are_not_measured(
    clock, monkeypatch, steps, needed, known
):
    """Neither by a long epoch nor by one that ends before there is a first estimate."""
    monkeypatch.setattr(time, "perf_counter", clock)
    step_clock = StepClock(torch.device("cpu"), needed, warm_up=3)
    told = []
    for step in range(steps):
        clock.now += 5.0 if step < 3 else 0.1
        told.append(step_clock.tick())
    assert step_clock.per_step() == (known and pytest.approx(known))
    told = [per_step for per_step in told if per_step is not None]
    assert told == ([pytest.approx(0.1)] if needed and steps == 60 else [])


def test_memory_in_use():
    said = memory_in_use(torch.device("cpu"))
    number, unit, words = said.split(maxsplit=2)
    assert words == "of memory"
    assert 50 < float(number) * {"MiB": 1, "GiB": 1024}[unit] < 1e6
