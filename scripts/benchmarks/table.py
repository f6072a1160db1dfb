"""Reading a CSV of named points into a memory map: its speed against pandas, and its memory."""

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.read import PEAK, add_rows
from benchmarks.turns import add_rounds, median_ratio, say_seconds, take_turns
from landmarks.data.formats.table import map_table
from landmarks.data.reading.reader_arguments import FileReading
from landmarks.machine import say_bytes

NUM_POINTS = 15
DRAWN = 10_000  # rows that are different
MEASURE_PEAK = f"""{PEAK}
from landmarks.data.formats.table import map_table
from landmarks.data.reading.reader_arguments import FileReading

before = peak()
arrays, _ = map_table(Path(sys.argv[1]), FileReading(cache_dir=sys.argv[2]))
print(len(arrays.names), peak() - before)
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    add_rows(parser, 200_000, 1_000_000)
    add_rounds(parser)
    parser.add_argument(
        "--cpu", action="store_true", help="count the seconds of all cores, on a busy machine"
    )


def measure(options: argparse.Namespace) -> dict:
    """Return {"first_ratio", "second_ratio", "peak_extra_mib"}."""
    with tempfile.TemporaryDirectory(prefix="landmarks-benchmark-") as temporary:
        folder = Path(temporary)
        first, second = compare(write_table(folder / "timed.csv", options.timed_rows), options)
        path = write_table(folder / "t.csv", options.rows)
        command = [sys.executable, "-c", MEASURE_PEAK, str(path), str(folder / "peak")]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        count, extra = done.stdout.split()
        if int(count) != options.rows:
            raise AssertionError(f"{count} of {options.rows} rows were read")
        size = say_bytes(path.stat().st_size)
        print(f"{count} rows, {size}: a fresh process grows by {float(extra):.0f} MiB.")
    return {
        "first_ratio": round(first, 2),
        "second_ratio": round(second, 1),
        "peak_extra_mib": round(float(extra), 1),
    }


def write_table(path: Path, rows: int) -> Path:
    """Write a table of random points with two decimals."""
    values = np.random.default_rng(0).uniform(0, 300, (DRAWN, 2 * NUM_POINTS))
    bodies = [",".join(f"{value:.2f}" for value in row) for row in values.tolist()]
    with path.open("w") as out:
        names = [f"point{i}_{axis}" for i in "abcdefghijklmno" for axis in "xy"]
        out.write(",".join(["file_name", *names]) + "\n")
        for row, body in zip(range(rows), itertools.cycle(bodies), strict=False):
            out.write(f"{row:07d}.jpg,{body}\n")
    return path


def compare(path: Path, options: argparse.Namespace) -> tuple[float, float]:
    """Return how many times faster a first and a second reading are than pandas'."""
    caches = (str(path.parent / f"cache{i}") for i in itertools.count())
    results = {}

    def read_pandas() -> None:
        table = pd.read_csv(path)
        results["names"] = table["file_name"].tolist()
        results["values"] = table.iloc[:, 1:].to_numpy(np.float64)

    def read_first() -> None:
        results["cache"] = next(caches)
        results["mapped"], _ = map_table(path, FileReading(cache_dir=results["cache"]))

    def read_second() -> None:
        results["mapped"], _ = map_table(path, FileReading(cache_dir=results["cache"]))

    ways = {"pandas": read_pandas, "first": read_first, "second": read_second}
    clock = time.process_time if options.cpu else time.perf_counter
    seconds = take_turns(ways, options.rounds, clock)
    mapped = np.asarray(results["mapped"].points).reshape(len(results["values"]), -1)
    if not np.array_equal(mapped, results["values"].astype(np.float32)):
        raise AssertionError("the two ways have read different points")
    say_seconds("pandas.read_csv into float64, names apart", seconds["pandas"])
    say_seconds("a first reading into a memory map", seconds["first"])
    say_seconds("a second one, which maps it", seconds["second"])
    return tuple(median_ratio(seconds["pandas"], seconds[way]) for way in ("first", "second"))
