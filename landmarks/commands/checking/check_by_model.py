"""`landmarks check checkpoint=RUN`: labels that a trained model does not believe."""

import logging
from pathlib import Path

import numpy as np
from tqdm import tqdm

from landmarks.commands.judging.judged_faces import require_truth, take
from landmarks.commands.preparing.data_for_model import in_order, predictions_in_order
from landmarks.data.faces import Faces
from landmarks.evaluation.read_predictions import match_faces, read_predictions
from landmarks.evaluation.tables import write_table
from landmarks.files import aside, reserve
from landmarks.health.disbelieved_labels import Disbelief, disbelief_findings, measure_disbelief
from landmarks.health.suspects import Finding
from landmarks.inference.finder import Framing
from landmarks.inference.predictor import Predictor
from landmarks.runs.find_runs import find_checkpoint, find_members
from landmarks.settings import DeviceName, Workers

log = logging.getLogger(__name__)
BATCH = 64


def find_disbelieved(
    checkpoint: str,
    faces: Faces,
    rows: np.ndarray,
    flip: np.ndarray | None,
    out: Path,
    device: DeviceName,
    workers: Workers,
) -> list[Finding]:
    """Compare labels with what a model finds; write disbelieved.csv, all faces, the worst first.

    Args:
        checkpoint: of a run, or a k-fold, whose out-of-fold predictions are taken: a model believes
            a wrong label that it was trained on more than another one does.
        rows: (n,) the faces whose images can be read.
        flip: the flip permutation (K,), if there is one.

    Raises:
        UserError: if the model has other points.
    """
    named = Path(checkpoint)
    with aside(out / "predicted.f32") as scratch:
        if find_members(named):
            path = named / "predictions.npz"
            stored = read_predictions(path, scratch)
            rows_found, at = match_faces(stored, faces, path)
            stored = predictions_in_order(stored, faces.point_names, faces.source, path)
            kept = np.isin(rows_found, rows)
            rows, predicted = rows_found[kept], stored.points[at[kept]]
            log.info(f"{named}: out-of-fold predictions of {len(rows)} faces.")
        else:
            predictor = Predictor(find_checkpoint(named), device=device)
            log.info(f"Model: {named} ({predictor.description})")
            require_truth(faces, rows, predictor.num_points)
            framed = in_order(faces, predictor.layout.names)
            predicted = _predict(predictor, take(framed, rows), scratch, workers)
            if framed is not faces:  # back into the order that `flip` is of
                places = list(framed.point_names)
                predicted = predicted[:, [places.index(name) for name in faces.point_names]]
        chosen = take(faces, rows)
        found = measure_disbelief(predicted, chosen.points, flip)
    names = [name.decode() for name in chosen.names.tolist()]
    findings = disbelief_findings(names, rows, found)
    _write(out / "disbelieved.csv", names, found, findings, rows)
    log.info(
        f"{len(findings)} labels are disbelieved; all, the worst first: {out / 'disbelieved.csv'}"
    )
    return findings


def _predict(predictor: Predictor, faces: Faces, scratch: Path, workers: Workers) -> np.ndarray:
    shape = (len(faces), predictor.num_points, 2)
    predicted = np.memmap(scratch, np.float32, "w+", shape=shape)
    reserve(scratch)
    framing = Framing(batch_size=BATCH, on_error="skip", workers=workers)
    with tqdm(total=len(faces), desc="comparing with a model", unit="face", disable=None) as bar:
        for batch, points, _ in predictor.predict(predictor.batches(faces, framing)):
            points = points.copy()
            points[:, predictor.unlabelled] = np.nan
            points[~batch.readable.numpy()] = np.nan
            predicted[batch.rows.numpy()] = points
            bar.update(len(points))
    return predicted


def _write(
    path: Path, names: list[str], found: Disbelief, findings: list[Finding], rows: np.ndarray
) -> None:
    reasons = {finding.row: finding.reason for finding in findings}
    order = np.argsort(-np.nan_to_num(found.score, nan=-1), kind="stable").tolist()
    write_table(
        path,
        (
            {
                "name": names[i],
                "score": float(found.score[i]),
                "reason": reasons.get(int(rows[i]), ""),
                "away": float(found.away[i]),
                "shift": float(found.shift[i]),
                "rough": float(found.rough[i]),
            }
            for i in order
        ),
    )
