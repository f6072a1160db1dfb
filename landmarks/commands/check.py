"""`landmarks check`: a data set's health -> a summary, suspects.csv and a picture of the worst."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from tqdm import tqdm

from landmarks.commands.judging.judged_faces import require_truth, take
from landmarks.commands.preparing.choose_layout import settle_layout, settle_pairs, warn_of_flip
from landmarks.commands.preparing.config_groups import build, build_test
from landmarks.commands.preparing.data_for_model import in_order, predictions_in_order
from landmarks.commands.preparing.shared_settings import CropSettings, OutputFolder
from landmarks.commands.training_run.training_inputs import draw_augmented
from landmarks.data.batches.cached_crops import choose_margin
from landmarks.data.batches.cropped_faces import CroppedFaces
from landmarks.data.check_labels import find_labelled, warn_of_misspelt, warn_of_unlabelled
from landmarks.data.crops.boxes import frame_faces
from landmarks.data.exclude import find_excluded
from landmarks.data.faces import Faces
from landmarks.errors import UserError, say_count
from landmarks.evaluation.error_tables import write_table
from landmarks.evaluation.read_predictions import match_faces, read_predictions
from landmarks.files import aside, reserve
from landmarks.geometry import BoxCrop, Crop
from landmarks.health.check_pictures import save_labelled, save_suspects
from landmarks.health.check_summary import say_crop, say_health, try_crop
from landmarks.health.disbelieved_labels import Disbelief, disbelief_findings, measure_disbelief
from landmarks.health.image_facts import GOOD
from landmarks.health.image_limits import box_findings
from landmarks.health.inspect_data import Health, inspect
from landmarks.health.suspects import Finding, write_suspects
from landmarks.inference.finder_protocol import Framing
from landmarks.inference.predictor import Predictor
from landmarks.layout import Layout
from landmarks.machine import count_cores
from landmarks.outputs.pictures import drawing
from landmarks.runs.find_runs import find_checkpoint, find_members
from landmarks.runs.quoting import say_setting
from landmarks.settings import (
    Count,
    DeviceName,
    GroupOf,
    Needs,
    PositiveInt,
    Rule,
    Threads,
    Workers,
)
from landmarks.shapes.symmetry import Symmetry, find_symmetry
from landmarks.training.cpu_threads import use_threads
from landmarks.training.precision import choose_device

log = logging.getLogger(__name__)
BATCH = 64
FOUND_ERRORS = 3  # the exit code
WITH_A_MODEL = Needs("checkpoint", Rule(lambda value: value is not None, ""), "checkpoint=RUN")


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
            framed = in_order(faces, predictor.layout.names)
            require_truth(framed, rows, predictor.num_points)
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


@dataclass(frozen=True, kw_only=True)
class CheckSettings(CropSettings, OutputFolder):
    """All that a check is told, of configs/check.yaml."""

    data: dict
    layout: Annotated[dict, GroupOf(Layout)]
    augment: dict
    input_size: PositiveInt
    checkpoint: str | None
    device: Annotated[DeviceName, WITH_A_MODEL]
    workers: Workers
    threads: Annotated[Threads, WITH_A_MODEL]
    seed: Count


def check(settings: CheckSettings) -> int:
    """Check a data set; return the exit code."""
    out = settings.make_folder()
    # The reader would stop at images that are to be listed here, and leave out those excluded.
    lenient = {**settings.data, "on_error": "skip", "exclude": None}
    faces = build(lenient, part="train")
    rows = np.flatnonzero(~find_excluded(faces, settings.data["exclude"]))
    test = build_test(
        lenient, lambda why: log.info(f"The training part is not compared with a test part: {why}")
    )
    labelled = find_labelled(faces.points, rows)
    warn_of_unlabelled(labelled, faces.source)
    warn_of_misspelt(faces, rows)
    layout = settle_layout(settings.layout, faces, rows, labelled, settings.seed)
    threads = count_cores() if settings.workers == "auto" else max(1, settings.workers)
    health = inspect(faces, rows, test, layout.regions, threads, layout.eyes)
    good = rows[health.looks.state[rows] == GOOD]
    known, known_from = layout.flip_permutation(), layout.pairs_from
    symmetry = find_symmetry(faces.points, known, good, known_from=known_from)
    warn_of_flip(faces, symmetry)
    layout = settle_pairs(settings.layout, layout, symmetry.flip)

    count = say_count(len(rows), "face")
    log.info(f"{faces.source}: {count}, {_say_layout(layout, symmetry)}")
    for line in say_health(health):
        log.info(line)
    framed = _frame(settings, faces, good, health)
    if settings.checkpoint is not None:
        use_threads(settings.threads, choose_device(settings.device))
        health.findings += find_disbelieved(
            settings.checkpoint,
            faces,
            good,
            symmetry.flip,
            out,
            settings.device,
            settings.workers,
        )
    # Before anything is drawn: what has been found is kept, whatever becomes of the pictures.
    write_suspects(out / "suspects.csv", health.findings)
    count = say_count(len(health.findings), "suspect")
    log.info(f"{count}, worst first: {out / 'suspects.csv'}")
    if framed is not None:
        _show_crop(settings, *framed, health.looks.size, symmetry.flip)
    with drawing(out):
        parts = {"train": faces, "test": test}
        pictured = save_suspects(out / "suspects.png", parts, health.findings)
        if pictured:
            log.info(f"{pictured} of them in a picture: {out / 'suspects.png'}")
    with drawing(out):
        if save_labelled(out / "labels.png", faces, good, symmetry.flip, layout.point_names()):
            log.info(f"Faces with their points, numbered, by side: {out / 'labels.png'}")
    for line in health.advice:
        log.warning(line)
    if not any(finding.level == "error" for finding in health.findings):
        return 0
    log.warning(f"To leave the errors out: {say_setting('data.exclude', out / 'suspects.csv')}")
    return FOUND_ERRORS


def _frame(
    settings: CheckSettings, faces: Faces, good: np.ndarray, health: Health
) -> tuple[Faces, Crop | BoxCrop] | None:
    """Return the faces that training could frame, and their crop; add to `health` those it cannot.

    Args:
        good: (n,) the faces whose images can be read.

    Returns:
        None, with a line in the log, where the crop is not to be had.
    """
    try:
        framed, crop = frame_faces(
            replace(faces, rows=good),
            settings.crop,
            settings.box_margin,
            settings.box_from,
            leave_out=True,
        )
    except UserError as error:
        log.warning(f"crop={settings.crop} was not tried: {error}")
        return None
    if settings.box_from == "data":
        health.findings += box_findings(faces, np.setdiff1d(good, framed.rows))
    return framed, crop


def _show_crop(
    settings: CheckSettings,
    framed: Faces,
    crop: Crop | BoxCrop,
    sizes: np.ndarray,
    flip: np.ndarray | None,
) -> None:
    """Say what the crop loses, and draw faces as training would see them."""
    size = settings.input_size
    log.info(say_crop(settings.crop, size, try_crop(framed, framed.rows, sizes, crop, size)))
    augment = build(settings.augment, input_size=size, permutation=flip, seed=settings.seed)
    if augment.is_on and len(framed.rows):
        source = CroppedFaces(framed, crop, size, choose_margin(crop, size))
        shown = np.random.default_rng(settings.seed).permutation(framed.rows)
        picture = Path(settings.run_dir) / "augmented.png"
        if draw_augmented(picture, source, shown, augment):
            log.info(f"Faces as training would see them: {picture}")


def _say_layout(named: Layout, symmetry: Symmetry) -> str:
    points, regions = say_count(named.num_points, "point"), say_count(len(named.regions), "region")
    said = f"{points}, layout {named.name}, {regions}"
    if symmetry.flip is None:
        return f"{said}; no flip permutation: {symmetry.reason}."
    return f"{said}; flip permutation ({symmetry.source}): {symmetry.reason}."
