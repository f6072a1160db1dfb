"""Cores and threads: counted within limits, chosen by trial, kept on resume."""

import logging
import os

import pytest
import torch

from landmarks.machine import count_cores
from landmarks.training import cpu_threads as threads
from landmarks.training.cpu_threads import fastest, use_threads

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def free_to_choose(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "count_cores", lambda: 4)
    yield
    torch.set_num_threads(before)


def machine(tmp_path, group, **limits):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(f"{group}\n")
    for name, text in limits.items():
        path = tmp_path / "sys/fs/cgroup" / name.replace("__", "/").replace("_max", ".max")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("limit", "cores"),
    [("200000 100000", 2), ("150000 100000", 2), ("1000 100000", 1), ("max 100000", 64), ("", 64)],
)
def test_cores_are_those_of_the_group_above_too(tmp_path, monkeypatch, limit, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
    machine(tmp_path, "0::/a/b", a__cpu_max=limit)
    assert count_cores(tmp_path) == cores


def test_cores_of_older_groups_and_of_other_systems(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
    assert count_cores(tmp_path) == 64
    machine(tmp_path, "4:cpu,cpuacct:/a")
    group = tmp_path / "sys/fs/cgroup/cpu/a"
    group.mkdir(parents=True)
    (group / "cpu.cfs_period_us").write_text("100000")
    for quota, cores in (("300000", 3), ("-1", 64)):
        (group / "cpu.cfs_quota_us").write_text(quota)
        assert count_cores(tmp_path) == cores


@pytest.mark.parametrize(
    ("speeds", "chosen"),
    [
        ({8: 80, 4: 40, 2: 20, 1: 10}, 8),
        ({8: 80, 4: 110, 2: 20, 1: 10}, 8),  # too near to be more than noise
        ({8: 5, 4: 40, 2: 20, 1: 10}, 4),
        ({8: 1, 4: 2, 2: 3, 1: 10}, 1),
    ],
)
def test_the_fastest_number_is_chosen_if_it_is_much_faster(speeds, chosen):
    assert fastest(8, lambda count, seconds: speeds[count]) == chosen


def test_one_core_needs_no_trial():
    assert fastest(1, None) == 1


def test_the_trial_counts_work_and_leaves_the_number_as_it_was():
    before = torch.get_num_threads()
    assert threads._work(1, 0.0) >= 0
    assert torch.get_num_threads() == before


def test_what_is_asked_for_is_taken(caplog):
    with caplog.at_level(logging.INFO):
        assert use_threads(3, CPU, before=2) == 3 == torch.get_num_threads()
    assert "3 threads" in caplog.text


def test_a_resumed_run_keeps_its_own_where_it_can(monkeypatch):
    monkeypatch.setattr(threads, "fastest", lambda cores, work: 1)
    assert use_threads("auto", CPU, before=2) == 2 == torch.get_num_threads()
    assert use_threads("auto", CPU, before=16) == 1
    assert use_threads("auto", CPU) == 1


def test_elsewhere_and_where_the_environment_says_it_torch_decides(monkeypatch):
    monkeypatch.setattr(threads, "fastest", lambda cores, work: 1 / 0)
    there = torch.get_num_threads()
    assert use_threads("auto", torch.device("cuda")) == there
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert use_threads("auto", CPU) == there
