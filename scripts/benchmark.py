"""Measure one part of the package against a plain way of doing the same, written here in full.

    python scripts/benchmark.py NAME [--root path/to/contest] [options]

Both ways take turns within one run (A B A B ...), so that a machine that is slow or busy slows both
down alike: the ratios are what counts, the seconds are only shown. The last line on stdout is JSON.
Exit codes: 0 done, 2 the command line is wrong or the data is not there.
"""

import argparse
import importlib
import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

from landmarks.errors import UserError, did_you_mean

BENCHMARKS = {
    "read": "landmarks.csv, against 1,942 Python calls a row",
    "table": "a CSV of 15 named points, against pandas.read_csv",
    "loader": "batches of cropped faces, against a torchvision data set",
    "train": "the training loop, against the bare steps of the model",
    "predict": "predictions from image files, against one image at a time",
    "heatmap": "the loss over 971 heatmaps, against plain autograd on whole maps",
    "step": "a training step and a prediction, against the write-up's own",
    "growth": "how the heatmap loss grows with points and cells",
    "check": "faults that `landmarks check` finds among those planted",
    "disbelief": "wrong labels that a model finds among those planted",
    "decode": "heatmap decoders, against one another and DARK as published",
    "gpu": "steps on a GPU, eager and recorded, against their floor; loop, data, prediction",
    "facial_keypoints": "Kaggle's second contest: what incomplete rows are worth",
    "pasted": "faces in larger photos, against their own photos",
    "clip": "a drawn face followed through a clip, its jitter and its lag",
    "shards": "batches from shards and a web server, against plain files",
    "ranks": "a training by several processes, against the same by one",
    "startup": "how long `landmarks --help` takes",
}


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence."""

    def error(self, message: str) -> None:
        raise UserError(f"{message}.")


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark that the first word names and return the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    word, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    if word in ("-h", "--help"):
        listed = "\n".join(f"  {name:<8} {purpose}" for name, purpose in BENCHMARKS.items())
        print(f"{__doc__}\n{listed}\n\nOptions: python scripts/benchmark.py NAME --help")
        return 0
    try:
        print(json.dumps(_run(word, rest)))
    except UserError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    return 0


def _run(word: str, rest: list[str]) -> dict:
    if word not in BENCHMARKS:
        raise UserError(
            f"There is no benchmark '{word}'.{did_you_mean(word, BENCHMARKS)} "
            f"The choices are {', '.join(BENCHMARKS)}."
        )
    # Imported here: `startup` needs no torch.
    benchmark = importlib.import_module(f"benchmarks.{word}")
    parser = Parser(prog=f"benchmark.py {word}", description=benchmark.__doc__)
    parser.add_argument(
        "--root", help="data in the contest's layout, if the benchmark reads any (default: made up)"
    )
    benchmark.add_options(parser)
    options = parser.parse_args(rest)
    for name, value in vars(options).items():
        if type(value) is int and value < 1:  # True and False are ints too
            raise UserError(f"--{name.replace('_', '-')} {value}: at least 1 is needed.")
    if options.root is not None and not Path(options.root).is_dir():
        raise UserError(f"--root {options.root}: there is no such folder.")
    print(f"{word}: {BENCHMARKS[word]}.")
    print(
        f"Machine: {os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, torch {version('torch')}."
    )
    return benchmark.measure(options)


if __name__ == "__main__":
    sys.exit(main())
