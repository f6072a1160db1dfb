"""`landmarks ensemble`: several files of predictions -> one, of their points combined."""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np

from landmarks.commands.predict import refuse_predicted
from landmarks.commands.preparing.data_for_model import predictions_in_order
from landmarks.commands.preparing.shared_settings import OutputFolder
from landmarks.data.faces import plain_names
from landmarks.errors import UserError, say_count
from landmarks.evaluation.read_predictions import Predictions, number_names, read_predictions
from landmarks.files import refuse_twice
from landmarks.inference.ensemble import EnsembleName, combine_points, spread_of
from landmarks.inference.open_model import PATHS
from landmarks.outputs.predictions import PredictionFile
from landmarks.outputs.submission import write_submission
from landmarks.settings import Needs, Rule

log = logging.getLogger(__name__)
BLOCK = 256  # faces combined at once
SUBMISSION = re.compile(r"[^,\t]*[,\t]\"?Point_M0_X\b")
Errors = Annotated[
    list,
    Rule(
        lambda v: v and all(type(x) in (int, float) and x > 0 for x in v),
        "numbers above 0, [ERROR,ERROR,...]",
    ),
]


@dataclass(frozen=True, kw_only=True)
class EnsembleSettings(OutputFolder):
    """All that the combination of files is told, of configs/ensemble.yaml."""

    predictions: Annotated[list, PATHS] | None
    ensemble: EnsembleName
    errors: Annotated[Errors | None, Needs("ensemble", "weighted")]
    round: bool
    npz: bool
    confidence: bool


def ensemble(settings: EnsembleSettings) -> int:
    """Combine files of predictions; return the exit code."""
    out, paths = Path(settings.run_dir), [Path(path) for path in settings.predictions or []]
    if len(paths) < 2:
        error = UserError("Several files are combined: landmarks ensemble FILE FILE.")
        error.code = 2
        raise error
    refuse_twice(paths)
    refuse_predicted(out)
    weights = _weigh(settings, len(paths))
    with TemporaryDirectory() as scratch:
        read = [read_predictions(path, Path(scratch) / f"{i}.f32") for i, path in enumerate(paths)]
        rows = [
            _align(read[0], other, paths[0], path) for path, other in zip(paths, read, strict=True)
        ]
        read = _match_points(read, paths)
        combined = _combine(read, rows, settings.ensemble, weights)
        if _are_submissions(paths):
            points = np.concatenate([points for points, _ in combined])
            write_submission(out / "submission.csv", read[0].names, points, settings.round)
            written = out / "submission.csv"
        else:
            _write(settings, out, read, combined)
            written = out / "predictions.csv"
    log.info(
        f"{settings.ensemble} of {say_count(len(paths), 'file')}, "
        f"{say_count(len(read[0].names), 'face')}: {written}"
    )
    return 0


def _weigh(settings: EnsembleSettings, count: int) -> np.ndarray | None:
    if settings.ensemble != "weighted":
        return None
    if settings.errors is None or len(settings.errors) != count:
        raise UserError(
            f"ensemble=weighted needs the error of each file, such as its validation MSE: "
            f"errors=[ERROR,ERROR,...], {count} numbers."
        )
    return 1 / np.array(settings.errors, np.float64)


def _align(first: Predictions, other: Predictions, first_path: Path, path: Path) -> np.ndarray:
    """Return where each face of the first file stands in another one.

    Raises:
        UserError: if they hold other faces, or other points.
    """
    a, b = first.points.shape[1], other.points.shape[1]
    if a != b:
        raise UserError(
            f"{first_path} has {say_count(a, 'point')} a face and {path} {b}: files of the same "
            f"points are combined."
        )
    places = {key: row for row, key in enumerate(number_names(plain_names(other.names)))}
    wanted = list(number_names(plain_names(first.names)))
    lost = [name for name, count in wanted if (name, count) not in places]
    if lost or len(places) != len(wanted):
        named = lost[0] if lost else next(k for k in places if k not in set(wanted))[0]
        raise UserError(
            f"{path} and {first_path} are of other faces: '{named.decode()}' stands in one of the "
            f"two alone; combine predictions of the same faces."
        )
    return np.array([places[key] for key in wanted])


def _match_points(read: list[Predictions], paths: list[Path]) -> list[Predictions]:
    """Return predictions with their points in the order of the first file that names them."""
    first = next((i for i, one in enumerate(read) if one.point_names), 0)
    return [
        predictions_in_order(one, read[first].point_names, str(paths[first]), path)
        for path, one in zip(paths, read, strict=True)
    ]


def _combine(
    read: list[Predictions], rows: list[np.ndarray], how: EnsembleName, weights: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield blocks of points (B, K, 2) and of their spread (B, K)."""
    for first in range(0, len(rows[0]), BLOCK):
        part = slice(first, first + BLOCK)
        points = np.stack([one.points[at[part]] for one, at in zip(read, rows, strict=True)])
        combined = combine_points(points, how, weights)
        yield combined, spread_of(points, combined)


def _are_submissions(paths: list[Path]) -> bool:
    """Say whether the files hold the points that a contest asks for, as its submissions do.

    Raises:
        UserError: if only some do.
    """
    found = []
    for path in paths:
        with path.open("rb") as file:
            found.append(bool(SUBMISSION.match(file.readline().decode("utf-8-sig", "replace"))))
    if any(found) and not all(found):
        other = paths[found.index(False)]
        raise UserError(
            f"{paths[found.index(True)]} is a submission, whose points are other ones in each "
            f"face, and {other} is none: combine files of one kind."
        )
    return all(found)


def _write(settings: EnsembleSettings, out: Path, read: list[Predictions], combined) -> None:
    known = np.zeros(read[0].points.shape[1], bool)
    for one in read:
        for first in range(0, len(one.names), BLOCK):
            known |= np.isfinite(one.points[first : first + BLOCK]).all(2).any(0)
    file = PredictionFile(
        out,
        read[0].names,
        len(known),
        rounded=settings.round,
        npz=settings.npz,
        unlabelled=np.flatnonzero(~known).tolist(),
        certainty="spread",
        columns=settings.confidence,
        point_names=next((one.point_names for one in read if one.point_names), ()),
    )
    with file as written:
        for points, spread in combined:
            points[:, ~known], spread[:, ~known] = 0, 0  # left empty
            written.add(points, spread)
