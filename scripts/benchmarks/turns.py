"""Ways of doing the same thing, timed in turns."""

import argparse
import time
from collections.abc import Callable
from statistics import median


def add_rounds(parser: argparse.ArgumentParser, rounds: int = 3, what: str = "turns") -> None:
    """Add --rounds."""
    parser.add_argument("--rounds", type=int, default=rounds, help=f"{what} (default: %(default)s)")


def take_turns(
    ways: dict[str, Callable], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Run every way once a round and return the seconds each took by a clock, by name."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = clock()
            way()
            seconds[name].append(clock() - started)
    return seconds


def take_told_turns(ways: dict[str, Callable], rounds: int) -> dict[str, list[float]]:
    """Do as `take_turns` with ways that tell the seconds themselves, after a round unnoted."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            spent = way()
            if turn > 0:  # the first turn allocates and tunes
                seconds[name].append(spent)
    return seconds


def median_ratio(above: list[float], below: list[float]) -> float:
    """Return the median over rounds of above / below: what slows a whole round down cancels."""
    return median(a / b for a, b in zip(above, below, strict=True))


def say_seconds(what: str, seconds: list[float]) -> None:
    """Print a way's median, fastest and slowest round."""
    print(
        f"  {what}: {median(seconds):.4g} s (median of {len(seconds)}, "
        f"{min(seconds):.4g} to {max(seconds):.4g} s)"
    )
