"""What training reads: faces, their split, batches and augmentation, built from the settings."""

import hashlib
import logging
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from landmarks.augment.augmentation import Augment
from landmarks.commands.preparing.choose_layout import settle_layout, settle_pairs, warn_of_flip
from landmarks.commands.preparing.config_groups import build
from landmarks.commands.training_run.train_settings import TrainSettings
from landmarks.data.batches.cached_crops import CanvasFaces, choose_margin, open_canvas
from landmarks.data.batches.cropped_faces import CroppedFaces
from landmarks.data.batches.device_batches import DeviceBatches
from landmarks.data.batches.loader import Batches, choose_workers, mean_points
from landmarks.data.caches.cache_folder import find_cache
from landmarks.data.caches.cache_use import DAY, list_caches
from landmarks.data.check_labels import (
    refuse_impossible,
    require_labels,
    warn_of_copies,
    warn_of_misspelt,
    warn_of_outside,
    warn_of_unlabelled,
)
from landmarks.data.crops.boxes import frame_faces
from landmarks.data.crops.expected_face_place import measure_places
from landmarks.data.exclude import read_names
from landmarks.data.faces import Faces, plain_names
from landmarks.data.split import load_split, load_training_names, save_split
from landmarks.distributed import collectives, processes
from landmarks.errors import UserError, say_count
from landmarks.layout import Layout
from landmarks.machine import say_bytes
from landmarks.outputs.pictures import arrange, draw_face, drawing, save_picture
from landmarks.runs.find_runs import find_checkpoint
from landmarks.shapes.symmetry import find_symmetry

log = logging.getLogger(__name__)
UNUSED_SECONDS = 30 * DAY
MANY_BYTES = 5 << 30  # bytes of old caches that a start tells of
MAX_PICTURED = 8  # validation faces in faces.png
MAX_AUGMENTED = 16  # faces in augmented.png


class Inputs(NamedTuple):
    """Everything that is read to train, validate and draw.

    `mean` is (K, 2), input pixels; `places` is of `measure_places`; `flip` the flip permutation
    (K,), if one was wanted and found; `labelled` (K,) bool: is there a label of the point to learn
    from? `ranges` are the points whose heatmaps are pictured, by name.
    """

    faces: Faces
    layout: Layout
    training: Batches | DeviceBatches
    validation: Batches | DeviceBatches
    pictured: Batches
    mean: np.ndarray
    places: dict | None
    labelled: np.ndarray
    flip: np.ndarray | None
    augment: Augment | None
    ranges: dict[str, range]
    reading: str

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shapes of what a step of this process is given: images (B, 3, S, S) and points."""
        count, size = self.training.batch_size // processes.world(), self.training.source.size
        return (count, 3, size, size), (count, self.faces.num_points, 2)


def open_inputs(settings: TrainSettings, device: torch.device) -> Inputs:
    """Open the data set and what is made of it: batches, the mean shape, the augmentation.

    The split is kept in the run's folder, and taken from there by a run that is resumed.

    Args:
        device: where the model runs.
    """
    data, seed, input_size = settings.data, settings.seed, settings.input_size
    refuse_copies(data, processes.world())
    leave_out = settings.box_from == "points" or data["on_error"] == "skip"
    faces, crop = frame_faces(
        build(data, part="train"),
        settings.crop,
        settings.box_margin,
        settings.box_from,
        leave_out,
    )
    split_file = Path(settings.run_dir) / "split.npz"
    if settings.resume:
        training_rows, validation_rows = load_split(split_file, faces)
        _refuse_excluded(faces.names[np.r_[training_rows, validation_rows]], data, split_file)
    else:
        training_rows, validation_rows = build(settings.split, faces, seed=seed)
        if processes.is_main():
            save_split(split_file, faces, training_rows, validation_rows)
        if settings.init:
            warn_of_known(Path(settings.init), faces.names[validation_rows])
    used = np.sort(np.r_[training_rows, validation_rows])
    refuse_impossible(faces, used)
    warn_of_copies(faces, used)
    labelled = require_labels(faces, training_rows, validation_rows)
    named = settle_layout(settings.layout, faces, training_rows, labelled, seed)
    is_wanted = settings.flip_test or settings.augment["flip"] > 0
    flip = choose_flip(faces, named, training_rows, seed) if is_wanted else None
    named = settle_pairs(settings.layout, named, flip)
    if flip is not None and settings.augment["flip"] > 0:
        labelled = labelled | labelled[flip]  # learnt from mirror images
    warn_of_unlabelled(labelled, f"the training faces of {faces.source}")
    warn_of_misspelt(faces, used)
    warn_of_outside(faces, used)
    augment = build(settings.augment, input_size=input_size, permutation=flip, seed=seed)
    augment = augment if augment.is_on else None

    canvas = open_canvas(faces, crop, input_size)
    say_old_caches(faces.cache_dir)
    margin = choose_margin(crop, input_size) if augment is not None and augment.moves else 0
    if canvas is None:
        plain = CroppedFaces(faces, crop, input_size)
        wide = CroppedFaces(faces, crop, input_size, margin)
    else:
        plain = CanvasFaces(faces, canvas, input_size)
        wide = CanvasFaces(faces, canvas, input_size, margin)
    workers = choose_workers(settings.workers, device.type)
    alone = {"pin_memory": device.type == "cuda", "on_error": data["on_error"]}
    reading = {**alone, "workers": workers, "shared": True}
    pictured = validation_rows[np.linspace(0, len(validation_rows) - 1, MAX_PICTURED).astype(int)]
    return Inputs(
        faces,
        named,
        Batches(
            wide,
            training_rows,
            batch_size=settings.batch_size,
            seed=seed,
            weights=weigh(faces, training_rows),
            **reading,
        ),
        Batches(plain, validation_rows, batch_size=2 * settings.batch_size, **reading),
        Batches(plain, np.unique(pictured), batch_size=MAX_PICTURED, **alone),
        mean_points(plain, training_rows),
        measure_places(plain, training_rows, settings.crop),
        labelled,
        flip,
        augment,
        named.pick_ranges(settings.pictured_region),
        say_count(workers, "reading process") if canvas is None else "images from the cache",
    )


def refuse_copies(data: dict, ranks: int) -> None:
    """Raise UserError if each of so many processes would keep all faces in main memory."""
    if data.get("cache") == "ram" and ranks > 1:
        raise UserError(
            "data.cache=ram would keep the faces once for each process: use data.cache=disk."
        )


def refuse_other_faces(inputs: Inputs) -> None:
    """Refuse to train with processes that read other faces, of another machine's disk for example.

    Raises:
        UserError: in a process that reads others than the first one does.
    """
    if processes.world() == 1:
        return
    content = hashlib.sha256()
    for batches in (inputs.training, inputs.validation):
        content.update(np.ascontiguousarray(inputs.faces.names[batches.rows]).tobytes())
    own = content.hexdigest()
    if collectives.agree(own) != own:
        raise UserError(
            f"This process reads other faces in {inputs.faces.source} than rank 0, or parts them "
            f"otherwise: give all machines the same data."
        )


def _refuse_excluded(names: np.ndarray, data: dict, split_file: Path) -> None:
    plain = plain_names(names).tolist()
    if data.get("exclude") and not read_names(data["exclude"]).isdisjoint(plain):
        raise UserError(
            f"data.exclude={data['exclude']} names faces that this run's split holds: give it the "
            f"names it had, or start a new run from this one with init={split_file.parent}."
        )


def warn_of_known(init: Path, names: np.ndarray) -> None:
    """Warn of validation faces (n,) that a run, whose weights training starts from, has learnt."""
    path = find_checkpoint(init).parent / "split.npz"
    if not path.is_file():
        return
    try:
        known = np.isin(plain_names(names), plain_names(load_training_names(path)))
    except UserError as error:  # its weights are whole
        log.warning(f"{error} So it is not known which faces init={init} was trained on.")
        return
    if known.any():
        log.warning(
            f"{known.sum()} of {say_count(len(names), 'validation face')} bear names of faces that "
            f"init={init} was trained on. If they are these, val_mse is too low and no measure of "
            f"other faces: split as that run did (the same data, split and seed)."
        )


def weigh(faces: Faces, rows: np.ndarray) -> np.ndarray | None:
    """Return (n,) how often an epoch shows each of these faces; None: each once."""
    if faces.sets is None or len({*faces.weights}) == 1 == faces.weights[0]:
        return None
    return np.array(faces.weights)[faces.sets[rows]]


def say_old_caches(cache_dir: str | None) -> None:
    """Warn of caches that no run has used for long, if they take much."""
    try:
        kept = list_caches(find_cache(cache_dir))
    except OSError:  # not ours to look at, or going while we do
        return
    old = [entry for entry in kept if time.time() - entry.used > UNUSED_SECONDS]
    size = sum(entry.size for entry in old)
    if size > MANY_BYTES:
        log.warning(
            f"Caches that no run has used for 30 days take {say_bytes(size)}: `landmarks "
            "cache unused_for=30` lists them, with clear=true it removes them."
        )


def choose_flip(faces: Faces, named: Layout, rows: np.ndarray, seed: int) -> np.ndarray | None:
    """Return the flip permutation of these training faces, or None where they bear none out."""
    known = named.flip_permutation()
    symmetry = find_symmetry(faces.points, known, rows, seed=seed, known_from=named.pairs_from)
    is_expected = symmetry.flip is not None and (known is None or symmetry.source != "data")
    answer = "not mirrored" if symmetry.flip is None else "mirrored"
    level = logging.INFO if is_expected else logging.WARNING
    log.log(level, f"Faces are {answer}: {symmetry.reason}.")
    warn_of_flip(faces, symmetry)
    return symmetry.flip


def draw_augmented(path: Path, source: Dataset, rows: np.ndarray, augment: Augment) -> bool:
    """Write a picture of some faces as the model gets them, with their points; say if it is there.

    Args:
        source: of the faces, with the margin that `choose_margin` gives.
        rows: (n,) some of its rows.
    """
    with drawing(path.parent):
        _draw_augmented(path, source, rows, augment)
        return True
    return False


def _draw_augmented(path: Path, source: Dataset, rows: np.ndarray, augment: Augment) -> None:
    batch = source.__getitems__(rows[:MAX_AUGMENTED].tolist())
    images, points = augment(batch.images, batch.points, 0)
    pixels = images.permute(0, 2, 3, 1).round().byte().numpy()
    tiles = [
        draw_face(face[:, :, ::-1].copy(), truth, None)
        for face, truth in zip(pixels, points.numpy(), strict=True)
    ]
    save_picture(path, arrange(tiles))
