"""Finds how many threads are fastest beside the other processes that run now."""

import logging
import os
import time
from collections.abc import Callable

import torch

from landmarks.errors import say_count
from landmarks.machine import count_cores
from landmarks.settings import Threads

log = logging.getLogger(__name__)
TRIAL_SECONDS = 0.1  # for which each number of threads is tried, in turns
TURNS = 3
MIN_SPEEDUP = 1.5  # less is noise, and another number of threads changes rounding


def use_threads(threads: Threads, device: torch.device, before: Threads = "auto") -> int:
    """Set the threads that torch computes with on the CPU, say so, and return their number.

    Beside other busy processes all threads wait for the one that has no core: two on two cores can
    take ten times as long as one. So some numbers are tried, where the model runs on the CPU and
    OMP_NUM_THREADS says nothing.

    Args:
        threads: "auto" or their number.
        device: where the model runs.
        before: what a resumed run had, which rounds as it did only with as many; "auto": not known.
    """
    cores = count_cores()
    if threads != "auto":
        number, why = threads, "as asked"
    elif device.type != "cpu" or "OMP_NUM_THREADS" in os.environ:
        return torch.get_num_threads()
    elif before != "auto" and before <= cores:
        number, why = before, "as the run began with; threads=N for others"
    else:
        number, why = fastest(cores, _work), say_count(cores, "core")
        if number < cores:
            why += ", which other processes keep busy"
    torch.set_num_threads(number)
    log.info(f"{say_count(number, 'thread')} ({why}).")
    return number


def fastest(cores: int, work: Callable[[int, float], float]) -> int:
    """Return the fastest number of threads: all cores unless a half, a quarter ... is much faster.

    Args:
        cores: there are.
        work: called as work(threads, seconds), returns how much was done a second.
    """
    tried = [cores >> halved for halved in range(cores.bit_length())]
    done = dict.fromkeys(tried, 0.0)
    for _ in range(TURNS if cores > 1 else 0):
        for threads in tried:
            done[threads] += work(threads, TRIAL_SECONDS)
    chosen = max(tried, key=lambda threads: done[threads])
    return chosen if done[chosen] > MIN_SPEEDUP * done[cores] else cores


def _work(threads: int, seconds: float) -> float:
    """Return convolutions a second, of a size that free cores make faster."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    images, weights = torch.ones(4, 32, 56, 56), torch.ones(32, 32, 3, 3)
    try:
        with torch.inference_mode():
            torch.nn.functional.conv2d(images, weights, padding=1)
            done, started = 0, time.perf_counter()
            while (spent := time.perf_counter() - started) < seconds:
                torch.nn.functional.conv2d(images, weights, padding=1)
                done += 1
    finally:
        torch.set_num_threads(before)
    return done / spent
