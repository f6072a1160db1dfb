"""`landmarks check`: a data set's health -> a summary, suspects.csv and a picture of the worst."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np

from landmarks.commands.checking.check_by_model import find_disbelieved
from landmarks.commands.preparing.choose_layout import settle_layout, settle_pairs, warn_of_flip
from landmarks.commands.preparing.crop_settings import CropSettings
from landmarks.commands.preparing.instantiate import build, build_test
from landmarks.commands.preparing.output_folder import OutputFolder
from landmarks.commands.training_run.training_inputs import draw_augmented
from landmarks.data.batches.cached_crops import choose_margin
from landmarks.data.batches.cropped_faces import CroppedFaces
from landmarks.data.crops.boxes import frame_faces
from landmarks.data.exclude import find_excluded
from landmarks.data.faces import Faces
from landmarks.data.labelled_points import find_labelled, warn_of_misspelt, warn_of_unlabelled
from landmarks.errors import UserError, say_count
from landmarks.geometry import BoxCrop, Crop
from landmarks.health.crop_loss import try_crop
from landmarks.health.image_facts import GOOD
from landmarks.health.image_limits import box_findings
from landmarks.health.inspect_data import Health, inspect
from landmarks.health.labelled_pictures import save_labelled
from landmarks.health.summary import say_crop, say_health
from landmarks.health.suspect_pictures import save_suspects
from landmarks.health.suspects import write_suspects
from landmarks.layout import Layout
from landmarks.machine import count_cores
from landmarks.outputs.pictures import drawing
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
FOUND_ERRORS = 3  # the exit code
WITH_A_MODEL = Needs("checkpoint", Rule(lambda value: value is not None, ""), "checkpoint=RUN")


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
