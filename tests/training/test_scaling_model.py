"""The model of docs/scale.md: how steps grow with ranks, by numbers worked out by hand."""

import pytest
from refusals import refused

from landmarks.training.scaling_model import (
    Machine,
    StepParts,
    count_busy,
    exchange_seconds,
    share_cores,
)

PAIR = Machine(bandwidth=10, latency=0)


@pytest.mark.parametrize(("ranks", "share"), [(1, 0), (2, 1.0), (4, 1.5), (8, 1.75)])
def test_a_ring_sends_twice_the_bytes_but_for_each_rank_s_own(ranks, share):
    assert exchange_seconds(PAIR, ranks, 5e9, 0) == pytest.approx(share * 0.5)


@pytest.mark.parametrize(("ranks", "halvings"), [(1, 0), (2, 1), (8, 3), (64, 6)])
def test_small_messages_take_the_latency_each_time_that_ranks_are_halved(ranks, halvings):
    machine = Machine(bandwidth=10, latency=20)
    assert exchange_seconds(machine, ranks, 0, 100) == pytest.approx(halvings * 100 * 20e-6)


def test_between_machines_gradients_go_over_the_network():
    machine = Machine(bandwidth=100, network=10, latency=0, ranks=8)
    inside = 1.75 * 1e9 / 100e9
    assert exchange_seconds(machine, 8, 1e9, 0) == pytest.approx(inside)
    assert exchange_seconds(machine, 64, 1e9, 0) == pytest.approx(inside + 1.75 * 1e9 / 10e9)


def test_several_machines_need_a_network():
    machine = Machine(bandwidth=100, latency=0, ranks=8)
    assert machine.count(8) == 1
    with refused("16 ranks", 2, "machine.network"):
        machine.count(16)


def test_a_step_that_is_not_recorded_takes_no_less_than_its_launching():
    machine = Machine(rate=100, replay=2, launch=200)
    assert machine.compute_seconds(1e12, 100, recorded=True) == pytest.approx(0.012)
    assert machine.compute_seconds(1e12, 100, recorded=False) == pytest.approx(0.020)
    assert machine.compute_seconds(1e13, 100, recorded=False) == pytest.approx(0.102)


def test_threads_share_the_cores_with_those_of_others():
    assert share_cores(2, 2) == 1
    assert share_cores(4, 2) == 0.5
    assert share_cores(2, 2, busy=2) == 0.5
    assert count_busy(0.5, 1, 2) == pytest.approx(3)
    assert share_cores(1, 2, count_busy(0.5, 1, 2)) == pytest.approx(0.5)
    assert count_busy(0.97, 1, 2) == 0


def test_what_is_done_ahead_costs_only_where_it_takes_longest():
    parts = {"compute": 3.0, "exchange": 1.0, "images": 2.0, "disk": 0.5}
    assert StepParts(**parts, ahead=True).total() == 4
    assert StepParts(**parts, ahead=False).total() == 6.5
    assert StepParts(**{**parts, "images": 9.0}, ahead=True).total() == 9


@pytest.mark.parametrize(
    ("slow", "named"),
    [
        ("compute", "compute"),
        ("exchange", "all-reduce"),
        ("images", "reading images"),
        ("disk", "disk"),
    ],
)
def test_the_bottleneck_is_the_longest_part(slow, named):
    parts = dict.fromkeys(("compute", "exchange", "images", "disk"), 1.0)
    assert StepParts(**{**parts, slow: 3.0}, ahead=True).bottleneck() == named


def test_what_is_hidden_behind_the_step_does_not_hold_it_up():
    parts = StepParts(compute=3.0, exchange=2.0, images=4.0, disk=0.0, ahead=True)
    assert parts.bottleneck() == "compute"
    assert StepParts(**{**vars(parts), "ahead": False}).bottleneck() == "reading images"
    assert StepParts(**{**vars(parts), "images": 6.0}).bottleneck() == "reading images"
