import math

import numpy as np
import pytest

from landmarks.training.schedules import Constant, Cosine, OneCycle, Plateau, Schedule


@pytest.mark.parametrize(
    ("progress", "settings", "factor"),
    [
        (0.05, {"warmup": 0.1}, 0.5),
        (0.1, {"warmup": 0.1}, 1),
        (0.55, {"warmup": 0.1}, 0.5),
        (1, {"warmup": 0.1}, 0),
        (0, {"warmup": 0}, 1),
        (0.5, {"warmup": 0, "final": 0.2}, 0.6),
        (0.25, {"warmup": 0}, (1 + math.sqrt(0.5)) / 2),
        (1, {"warmup": 0, "final": 0.2}, 0.2),
        (1.01, {"final": 0.2}, 0.2),
        (0.05, {"warmup": 0.1, "hold": 0.5}, 0.5),
        (0.5, {"warmup": 0.1, "hold": 0.5}, 1),
        (0.75, {"warmup": 0.1, "hold": 0.5}, 0.5),
        (1, {"hold": 0.5, "final": 0.2}, 0.2),
    ],
)
def test_cosine_by_hand(progress, settings, factor):
    assert Cosine(**settings)(progress) == pytest.approx(factor, abs=1e-12)


@pytest.mark.parametrize(
    ("progress", "factor"),
    [
        (0, 0.1),
        (0.1, 0.1 + 0.9 * 0.25),
        (0.15, 0.55),
        (0.3, 1),
        (0.65, 0.505),
        (1, 0.01),
        (1.2, 0.01),
    ],
)
def test_one_cycle_by_hand(progress, factor):
    found = OneCycle(peak=0.3, start=0.1, final=0.01)(progress)
    assert found == pytest.approx(factor, abs=1e-12)


def test_one_cycle_may_start_at_its_peak():
    assert OneCycle(peak=0.0)(0) == 1


def test_constant():
    assert [Constant()(x) for x in (0, 0.5, 1)] == [1, 1, 1]


@pytest.mark.parametrize(("schedule", "peak"), [(Cosine(), 0.03), (OneCycle(), 0.3)])
def test_up_to_one_and_down_without_jumps(schedule, peak):
    progress = np.linspace(0, 1, 2001)
    factors = np.array([schedule(x) for x in progress])
    assert (factors[1:-1] > 0).all() and factors.max() == pytest.approx(1, abs=1e-3)
    up = progress[1:] <= peak
    assert (np.diff(factors)[up] >= 0).all() and (
        np.diff(factors)[progress[:-1] >= peak] <= 0
    ).all()
    assert np.abs(np.diff(factors)).max() < 0.02
    assert factors[-1] < 0.001


def observe(plateau, errors):
    found = []
    for error in errors:
        plateau.observe(error)
        found.append(plateau(0.5))
    return found


def test_plateau_waits_then_drops():
    plateau = Plateau(factor=0.5, patience=2, drops=2)
    assert plateau(0) == 1
    assert observe(plateau, [9, 8, 8, 8.5, 8]) == [1, 1, 1, 1, 0.5]
    assert observe(plateau, [8, 7, 7, 7, 7]) == [0.5, 0.5, 0.5, 0.5, 0.25]
    assert observe(plateau, [7] * 9) == [0.25] * 9  # no third drop


def test_plateau_without_patience():
    assert observe(Plateau(factor=0.1, patience=0), [5, 5, 4]) == pytest.approx([1, 0.1, 0.1])


def test_an_error_that_is_not_a_number_is_no_improvement():
    assert observe(Plateau(factor=0.5, patience=1), [5, math.nan, math.nan]) == [1, 1, 0.5]


def test_plateau_goes_on_where_it_was():
    errors = [9, 9, 8, 8, 8, 8, 7, 8, 8, 8]
    whole, first = Plateau(patience=1), Plateau(patience=1)
    expected = observe(whole, errors)
    head = observe(first, errors[:4])
    second = Plateau(patience=1)
    second.load_state_dict(first.state_dict())
    assert head + observe(second, errors[4:]) == expected
    assert second.state_dict() == whole.state_dict() and len(set(expected)) > 2


@pytest.mark.parametrize("schedule", [Constant(), Cosine(), OneCycle(), Plateau()])
def test_every_schedule_takes_what_a_training_tells_it(schedule):
    """An error after each epoch, and the state of a run that had another schedule."""
    assert isinstance(schedule, Schedule)
    first = schedule(0.5)
    schedule.load_state_dict({})
    schedule.observe(3.0)
    schedule.load_state_dict(schedule.state_dict())
    assert schedule(0.5) == first
