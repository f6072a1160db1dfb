"""Kaggle's Facial Keypoints, made from faces of 68 points: what incomplete rows are worth.

Faces become grey images of 96 x 96 with 15 points, two thirds of them with four points, in files of
the contest's shape. One model learns from all rows, one from complete ones, with as many steps;
their submissions are scored here and compared with what `landmarks evaluate` says.
"""

import argparse
import csv
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from landmarks.data.formats.facial_keypoints import POINTS
from landmarks.data.formats.thousand import read_faces
from landmarks.errors import UserError

SIDE = 96
# The 300-W points whose mean each point is; the subject's right is seen at the left.
EYES = [[*range(42, 48)], [*range(36, 42)]]
FROM_68 = [*EYES, *([p] for p in (42, 45, 39, 36, 22, 26, 21, 17, 30, 54, 48, 51, 57))]
KEPT = [POINTS.index(p) for p in POINTS if p in "left_eye_center right_eye_center nose_tip".split()]
KEPT += [POINTS.index("mouth_center_bottom_lip")]
TEST_SHARE = 0.17


class Row(NamedTuple):
    """A face: pixels (96, 96) uint8, points (15, 2), NaN where it has no label."""

    pixels: np.ndarray
    points: np.ndarray


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    parser.add_argument("--steps", type=int, default=600, help="of training (default: %(default)s)")
    parser.add_argument("--size", type=int, default=96, help="of the input (default: %(default)s)")
    parser.add_argument("--keep", help="a folder to leave the files and runs in")


def measure(options: argparse.Namespace) -> dict:
    """Return {"all_rows": RMSE, "complete_rows": RMSE, "reported_off_by": difference}."""
    if options.root is None:
        raise UserError("--root is needed: a folder of faces with 68 points.")
    with tempfile.TemporaryDirectory(prefix="landmarks-benchmark-") as temporary:
        folder = Path(options.keep or temporary)
        rows = make_rows(Path(options.root))
        cut = round(len(rows) * (1 - TEST_SHARE))
        training, test = rows[:cut], rows[cut:]
        complete = [row for row in training if np.isfinite(row.points).all()]
        print(f"{len(training)} training rows, {len(complete)} complete; {len(test)} test images.")
        write_set(folder / "all", training, test)
        write_set(folder / "complete", complete, test)
        write_table(folder / "truth/training.csv", test)
        found, off = {}, 0.0
        for name, count in (("all", len(training)), ("complete", len(complete))):
            epochs = max(1, round(options.steps * 32 / (0.9 * count)))
            reported = run_model(folder / name, folder / "truth", options.size, epochs)
            scored = score(folder / name / "predicted/submission.csv", test)
            print(f"{name} rows: RMSE {scored:.4f} of the submission, {reported:.4f} reported.")
            found[f"{name}_rows"], off = round(scored, 4), max(off, abs(scored - reported))
        return {**found, "reported_off_by": round(off, 6)}


def make_rows(root: Path) -> list[Row]:
    """Return all faces of a training set of 68 points; two thirds of them keep four points."""
    faces, random, rows = read_faces(str(root)), np.random.default_rng(0), []
    if faces.num_points != 68:
        raise UserError(f"--root {root}: {faces.num_points} points where 68 belong.")
    for row in faces.rows.tolist():
        image = cv2.imread(faces.path(row), cv2.IMREAD_GRAYSCALE)
        known = np.array(faces.points[row], np.float64)
        low, high = known.min(0), known.max(0)
        side = (high - low).max() * random.uniform(1.1, 1.25)
        corner = (low + high - side) / 2 + random.uniform(-0.03, 0.03, 2) * side
        whole = math.ceil(side)
        cut = cv2.warpAffine(
            image, np.float64([[1, 0, -corner[0]], [0, 1, -corner[1]]]), (whole,) * 2
        )
        pixels = cv2.resize(cut, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        points = np.array([known[some].mean(0) for some in FROM_68])
        points = (points - corner + 0.5) * (SIDE / whole) - 0.5
        if random.random() > 1 / 3:
            points[[i for i in range(len(POINTS)) if i not in KEPT]] = np.nan
        rows.append(Row(pixels, points))
    return rows


def write_set(folder: Path, training: list[Row], test: list[Row]) -> None:
    """Write training.csv, test.csv and IdLookupTable.csv."""
    write_table(folder / "training.csv", training)
    with (folder / "test.csv").open("w") as out:
        out.write("ImageId,Image\n")
        for number, row in enumerate(test, start=1):
            out.write(f"{number},{' '.join(map(str, row.pixels.ravel().tolist()))}\n")
    with (folder / "IdLookupTable.csv").open("w") as out:
        out.write("RowId,ImageId,FeatureName,Location\n")
        for number, (image, feature, _) in enumerate(asked(test), start=1):
            out.write(f"{number},{image},{feature},?\n")


def asked(test: list[Row]) -> list[tuple[int, str, float]]:
    """Return image, feature and true place of each labelled coordinate."""
    return [
        (number, f"{POINTS[k]}_{'xy'[axis]}", float(f"{place:.4f}"))
        for number, row in enumerate(test, start=1)
        for (k, axis), place in np.ndenumerate(row.points)
        if np.isfinite(place)
    ]


def write_table(path: Path, rows: list[Row]) -> None:
    """Write a training.csv."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as out:
        out.write(",".join([*(f"{p}_{axis}" for p in POINTS for axis in "xy"), "Image"]) + "\n")
        for row in rows:
            places = ["" if np.isnan(x) else f"{x:.4f}" for x in row.points.ravel()]
            out.write(",".join([*places, " ".join(map(str, row.pixels.ravel().tolist()))]) + "\n")


def run_model(root: Path, truth: Path, size: int, epochs: int) -> float:
    """Train, predict and evaluate; return the RMSE that `landmarks evaluate` reports."""
    run, data = root / "run", "data=facial_keypoints"
    plain = "model=resnet18 model.weights=none batch_size=32 report=false".split()
    sized = (f"input_size={size}", f"epochs={epochs}")
    call("train", data, f"data.root={root}", *plain, *sized, f"run_dir={run}")
    call("predict", f"checkpoint={run}", f"run_dir={root / 'predicted'}")
    judged = f"run_dir={root / 'judged'}"
    call("evaluate", f"checkpoint={run}", data, f"data.root={truth}", "report=false", judged)
    return json.loads((root / "judged/metrics.json").read_text())["rmse"]


def call(*words: str) -> None:
    """Run a command of the package."""
    subprocess.run([sys.executable, "-m", "landmarks", *words], check=True)


def score(submission: Path, test: list[Row]) -> float:
    """Return the contest's score of a submission: the root of the mean squared error."""
    with submission.open() as file:
        written = {int(row["RowId"]): float(row["Location"]) for row in csv.DictReader(file)}
    truth = [place for _, _, place in asked(test)]
    if list(written) != [*range(1, len(truth) + 1)]:
        raise AssertionError("the submission's rows are not those asked for")
    squares = [(written[i] - place) ** 2 for i, place in enumerate(truth, start=1)]
    return math.sqrt(sum(squares) / len(squares))
