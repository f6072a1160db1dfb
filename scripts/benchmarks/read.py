"""Read landmarks.csv, the contest baseline's way and ours, and see how much memory ours takes."""

import argparse
import itertools
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch

from benchmarks.turns import add_rounds, median_ratio, say_seconds, take_turns
from landmarks.data.formats.thousand import find_root
from landmarks.data.tables.landmarks_csv import map_labels
from landmarks.errors import UserError
from landmarks.machine import say_bytes

NUM_POINTS = 971
BLOCK = 1000  # different rows in a generated file
ROW_BYTES = 7600 + 8 * NUM_POINTS  # as text, and as float32 in the cache

# A process of its own, without torch, shows what reading alone takes. Linux hands the parent's peak
# down to ru_maxrss of the child, where it would hide the growth; VmHWM starts anew.
PEAK = """
import resource, sys
from pathlib import Path

def peak():
    status = Path("/proc/self/status")
    if status.is_file():
        lines = status.read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) / 1024
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (2**20 if sys.platform == "darwin" else 1024)
"""
MEASURE_PEAK = f"""{PEAK}
from landmarks.data.tables.landmarks_csv import map_labels

before = peak()
names, points = map_labels(Path(sys.argv[1]), sys.argv[2])
print(len(names), peak() - before)
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    add_rows(parser, 4000, 100_000)
    add_rounds(parser)


def add_rows(parser: argparse.ArgumentParser, timed: int, measured: int) -> None:
    """Add --timed-rows and --rows."""
    told = "(default: %(default)s)"
    parser.add_argument("--timed-rows", type=int, default=timed, help=f"to read in turns {told}")
    parser.add_argument("--rows", type=int, default=measured, help=f"to see the memory {told}")


def measure(options: argparse.Namespace) -> dict:
    """Return {"first_ratio", "second_ratio", "peak_extra_mib"}."""
    header, bodies = draw_rows() if options.root is None else read_rows(Path(options.root))
    with tempfile.TemporaryDirectory(prefix="landmarks-benchmark-") as folder:
        path = Path(folder) / "landmarks.csv"
        write_labels(path, options.timed_rows, header, bodies)
        first, second = compare(path, Path(folder), options.rounds)
        write_labels(path, options.rows, header, bodies)
        extra = measure_peak(path, Path(folder) / "peak", options.rows)
    return {
        "first_ratio": round(first, 2),
        "second_ratio": round(second, 1),
        "peak_extra_mib": round(extra, 1),
    }


def parse_as_baseline(path: Path) -> list[np.ndarray]:
    """Read the points (K, 2) of every row the contest baseline's way."""
    names, points = [], []
    with path.open() as lines:
        next(lines)
        for line in lines:
            elements = line.strip().split("\t")
            names.append(elements[0])
            row = list(map(np.int16, elements[1:]))
            points.append(np.array(row, dtype=np.int16).reshape(len(row) // 2, 2))
    return points


def compare(path: Path, folder: Path, rounds: int) -> tuple[float, float]:
    """Return how many times faster the first and the second reading are than the baseline's."""
    caches = (str(folder / f"cache{i}") for i in itertools.count())
    results = {"conversion": [], "touching": []}

    def read_baseline() -> None:
        rows = parse_as_baseline(path)
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch knows that this is slow
            results["baseline"] = torch.as_tensor(rows)
        results["conversion"].append(time.perf_counter() - started)

    def read_first() -> None:
        results["cache"] = next(caches)
        results["names"], results["points"] = map_labels(path, results["cache"])

    def read_second() -> None:
        results["names"], results["points"] = map_labels(path, results["cache"])

    ways = {"baseline": read_baseline, "first": read_first, "second": read_second}
    seconds = take_turns(ways, rounds)
    started = time.perf_counter()
    same = np.array_equal(results["points"], results["baseline"].numpy())
    results["touching"].append(time.perf_counter() - started)
    if not same:
        raise AssertionError("the two ways have read different points")
    count, size = len(results["names"]), path.stat().st_size
    print(f"{count} rows of {results['points'].shape[1]} points, {say_bytes(size)}, read alike:")
    say_seconds("the baseline's way, text to a tensor", seconds["baseline"])
    say_seconds("... of which torch.as_tensor, list to tensor", results["conversion"])
    say_seconds("map_labels without a cache, text to a memory map", seconds["first"])
    say_seconds("map_labels again, cache to a memory map", seconds["second"])
    say_seconds("... and comparing every mapped value with the baseline's", results["touching"])
    return tuple(median_ratio(seconds["baseline"], seconds[way]) for way in ("first", "second"))


def measure_peak(path: Path, cache: Path, rows: int) -> float:
    """Return by how many MiB a fresh process grows while it reads the file without a cache."""
    command = [sys.executable, "-c", MEASURE_PEAK, str(path), str(cache)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    count, extra = done.stdout.split()
    if int(count) != rows:
        raise AssertionError(f"{count} of {rows} rows were read")
    size = path.stat().st_size
    print(
        f"{rows} rows, {say_bytes(size)}: a fresh process grows by {float(extra):.0f} MiB to read "
        f"them"
    )
    return float(extra)


def draw_rows() -> tuple[bytes, list[bytes]]:
    """Return a header and rows of random points, without names; numbers as long as real ones."""
    columns = [f"Point_{k}_{axis}" for k in range(NUM_POINTS) for axis in "XY"]
    values = np.random.default_rng(0).integers(40, 340, (BLOCK, 2 * NUM_POINTS)).tolist()
    bodies = ["\t".join(map(str, row)) + "\n" for row in values]
    header = "\t".join(["file_name", *columns]) + "\n"
    return header.encode(), [body.encode() for body in bodies]


def read_rows(root: Path) -> tuple[bytes, list[bytes]]:
    """Return the header and the first rows, without names, of the user's own file."""
    path = find_root(root) / "train" / "landmarks.csv"
    if not path.is_file():
        raise UserError(f"There is no {path}.")
    with path.open("rb") as lines:
        header = next(lines, b"")
        bodies = [line.partition(b"\t")[2] for line in itertools.islice(lines, BLOCK)]
    if not bodies:
        raise UserError(f"{path} holds no faces.")
    return header, [body.rstrip(b"\r\n") + b"\n" for body in bodies]


def write_labels(path: Path, rows: int, header: bytes, bodies: list[bytes]) -> None:
    """Write a label file that repeats these rows under names of their own."""
    needed = rows * ROW_BYTES
    if shutil.disk_usage(path.parent).free < 1.1 * needed:
        raise UserError(
            f"{path.parent} has no room for {rows} rows ({say_bytes(needed)}): set TMPDIR, or "
            f"ask for fewer with --rows."
        )
    with path.open("wb") as out:
        out.write(header)
        for row, body in zip(range(rows), itertools.cycle(bodies), strict=False):
            out.write(b"%032x.jpg\t%s" % (row, body))
