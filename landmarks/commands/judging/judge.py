"""From a model, or a file of predictions, and labelled faces to a judgement."""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from landmarks.commands.judging.judged_faces import (
    Collected,
    Judged,
    require_truth,
    take,
)
from landmarks.commands.preparing.data_for_model import predictions_in_order
from landmarks.data.faces import Faces
from landmarks.data.formats.wflw import read_attributes
from landmarks.data.tables.table_rows import read_column
from landmarks.distributed.deal_work import dealing, hand_over
from landmarks.distributed.processes import is_main
from landmarks.errors import UserError, say_count
from landmarks.evaluation.bootstrap import group_faces
from landmarks.evaluation.face_errors import Blocks, FaceErrors, forget_pages, in_blocks, measure
from landmarks.evaluation.read_predictions import Predictions, match_faces, read_predictions
from landmarks.evaluation.write_evaluation import Judgement
from landmarks.inference.finder_protocol import Finder, Framing
from landmarks.layout import Layout
from landmarks.settings import PositiveInt

log = logging.getLogger(__name__)


class Sharing(NamedTuple):
    """What tells which faces belong together, and of which columns slices are made.

    table: a file with a row a face; groups: its column of groups; block: neighbouring rows that are
    taken together where there is none; slices: further columns.
    """

    table: str | None
    groups: str | None
    block: PositiveInt
    slices: list[str]


def judge_model(
    finder: Finder, paths: list[Path], judged: Judged, out: Path, framing: Framing, sharing: Sharing
) -> Judgement | None:
    """Judge a model on labelled faces; leave its predictions in the folder `out`.

    Several processes share the faces; the first one has the judgement, the others have None.

    Args:
        paths: of its checkpoint, or of those of several models as one.
    """
    require_truth(judged.faces, judged.rows, finder.num_points)
    faces = take(judged.faces, judged.rows)
    batches = finder.batches(faces, replace(framing, dealt=True))
    found = Collected(finder, batches, out)
    layout = finder.layout
    with dealing():
        if not is_main():
            hand_over(found.looks())
            return None
        errors = measure(
            found.blocks(),
            faces.names,
            judged.rows,
            finder.num_points,
            layout.eyes,
            faces.scored_to,
            out,
        )
    if found.unreadable == len(faces):
        raise UserError(
            f"Not one of {say_count(len(faces), 'image')} of {faces.source} can be read, "
            f"{faces.say(0)} first, so that no face is left to judge by: restore them."
        )
    if found.unreadable:
        log.warning(f"Unreadable images: {found.unreadable}; they are not judged.")
    stored = read_predictions(out / "predictions.npz", out)
    origin = {"data": _say_data(judged), "checkpoint": say_model(finder, paths)}
    mean_shape = found.judge_mean_shape(faces)
    if mean_shape is not None:
        known = np.isfinite(mean_shape.nme).any()
        nme = float(np.nanmean(mean_shape.nme)) if known else None
        origin["baselines"] = {"mean_shape": mean_shape.mse, "mean_shape_nme": nme}
    gathered = _gather(judged, faces, errors, stored, layout, sharing, origin)
    return replace(gathered, mean_shape=None if mean_shape is None else mean_shape.nme)


def say_model(finder: Finder, paths: list[Path]) -> dict:
    """Return what metrics.json says of a model, or of several as one."""
    known = getattr(finder, "checkpoint", None)  # of one that is no exported file
    return {
        **say_files(paths),
        "model": finder.description,
        "epoch": None if known is None else known.metrics.get("epoch"),
        "flip_test": None if known is None else finder.model.flip is not None,
    }


def say_files(paths: list[Path]) -> dict:
    """Return path and digest of a checkpoint; of several, those of each as `members`, too."""
    members = [{"path": str(path), "sha256": digest_file(path)} for path in paths]
    if len(members) == 1:
        return members[0]
    whole = hashlib.sha256("".join(member["sha256"] for member in members).encode())
    return {"path": None, "sha256": whole.hexdigest(), "members": members}


def judge_file(
    path: Path,
    faces: Faces,
    split: str,
    layout: Layout,
    out: Path,
    sharing: Sharing,
    model: dict | None = None,
) -> Judgement:
    """Judge the predictions of a file, of all or some of the faces.

    Args:
        model: what metrics.json says of the model, if it is known: then the faces' points are in
            its order, else the file's are put into theirs.
    """
    predictions = read_predictions(path, out / ".points.f32")
    rows, at = match_faces(predictions, faces, path)
    if model is None:
        names = list(faces.point_names) or layout.names
        predictions = predictions_in_order(predictions, names, faces.source, path)
    log.info(f"{path} has predictions of {len(rows)} of {len(faces)} faces of {faces.source}.")
    _refuse_gaps(predictions, faces, rows, at, path)
    blocks = in_blocks(predictions.points, faces.points, at, rows)
    if predictions.confidence is not None:
        blocks = _with_confidence(blocks, predictions.confidence, at)
    names = faces.names[rows]
    errors = measure(blocks, names, rows, faces.num_points, layout.eyes, faces.scored_to, out)
    judged = Judged(faces, rows, split, 0)
    stored = Predictions(predictions.names[at], predictions.points, predictions.confidence)
    origin = {
        "data": _say_data(judged),
        "predictions": {"path": str(path), "sha256": digest_file(path)},
        **({} if model is None else {"checkpoint": model}),
    }
    return _gather(judged, take(faces, rows), errors, stored, layout, sharing, origin, at)


def _gather(
    judged: Judged,
    faces: Faces,
    errors: FaceErrors,
    stored: Predictions,
    layout: Layout,
    sharing: Sharing,
    origin: dict,
    at: np.ndarray | None = None,
) -> Judgement:
    if not errors.judged.any():
        raise UserError(f"{faces.source}: none of the {len(faces)} faces has a label to judge by.")
    groups, grouping = group_faces(
        faces.names, judged.rows, faces.source, sharing.table, sharing.groups, sharing.block
    )
    at = np.arange(len(faces)) if at is None else at
    columns = _columns(judged, faces, sharing)
    return Judgement(faces, errors, stored.points, at, layout, groups, grouping, columns, origin)


def _columns(judged: Judged, faces: Faces, sharing: Sharing) -> dict[str, list[str]]:
    """Return the texts that slices are made of, by name: columns of a table, WFLW's attributes."""
    columns = {}
    for name in sharing.slices:
        table = Path(sharing.table or faces.source)
        columns[name] = read_column(table, name, faces.names, "slices")
    if faces.sets is not None:
        columns["data set"] = [
            f"{one}: {judged.faces.source.split(', ')[one]}" for one in faces.sets
        ]
    attributes = read_attributes(Path(judged.faces.source))
    for name, values in attributes.items():
        columns[name] = [("no", "yes")[int(value)] for value in values[judged.rows]]
    return columns


def _refuse_gaps(
    predictions: Predictions, faces: Faces, rows: np.ndarray, at: np.ndarray, path: Path
) -> None:
    """Refuse predictions that lack single points; a point that none of them has is not judged."""
    missing = np.zeros(predictions.points.shape[1], int)
    first = None
    for start in range(0, len(at), 512):
        gone = ~np.isfinite(predictions.points[at[start : start + 512]]).all(2)
        missing += gone.sum(0)
        forget_pages(predictions.points)
        if first is None and gone.any() and not gone.any(1).all():
            first = start + int(gone.any(1).argmax())
    some = np.flatnonzero((missing > 0) & (missing < len(at)))
    if len(some):
        face = "" if first is None else f", '{faces.name(rows[first])}' first"
        raise UserError(
            f"{path}: {len(some)} points are predicted in some faces and not in others, point "
            f"{some[0]} in {missing[some[0]]} of {len(at)}{face}: predict again."
        )
    nowhere = np.flatnonzero(missing == len(at))
    if len(nowhere) == len(missing):
        raise UserError(f"{path} predicts no point of any face; predict again.")
    if len(nowhere):
        log.warning(f"{len(nowhere)} points have no predictions and are not judged.")


def _with_confidence(blocks: Blocks, confidence: np.ndarray, at: np.ndarray) -> Iterator[tuple]:
    done = 0
    for predicted, truth, _ in blocks:
        yield predicted, truth, np.asarray(confidence[at[done : done + len(predicted)]])
        done += len(predicted)


def _say_data(judged: Judged) -> dict:
    return {
        "source": judged.faces.source,
        "split": judged.split,
        "faces_trained_on": judged.trained,
    }


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
