"""Which faces a model is judged on, and what it finds in them, by one process or several."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from landmarks.commands.preparing.config_groups import build
from landmarks.commands.preparing.data_for_model import read_data
from landmarks.data.faces import Faces
from landmarks.data.split import load_split
from landmarks.distributed.deal_work import merge
from landmarks.errors import UserError
from landmarks.evaluation.face_errors import Blocks
from landmarks.geometry import transform
from landmarks.inference.finder_protocol import Finder
from landmarks.metrics import normalized_error, squared_error
from landmarks.outputs.predictions import PredictionFile

log = logging.getLogger(__name__)
SplitName = Literal["val", "train", "test", "all"]


class Judged(NamedTuple):
    """Faces to judge: n `rows` of `faces`, which are of that split.

    trained: how many of them the model was trained on.
    """

    faces: Faces
    rows: np.ndarray
    split: str
    trained: int


def choose_judged(
    config: dict, runs: Sequence[Path], data: dict, split: SplitName | None
) -> Judged:
    """Return the faces that a model, or several as one, is judged on.

    Args:
        config: that it was trained with.
        runs: the folder of each model's run, which holds its split.
        data: of configs/data; what is None there is as in training.
        split: None: the validation faces of the runs' own data, all labelled ones of other data.
            Those of several models are the faces that all of them were validated on.

    Raises:
        UserError: if there is no such split, it is empty, or the faces have no labels.
    """
    config = with_occluded(config)
    if split == "test":
        faces = read_data(data, config, "test")
        return Judged(faces, faces.usable, "test", 0)
    faces = read_data(data, config, "train")
    usable, parts = faces.usable, []
    for run in runs:
        try:
            parts.append(load_split(run / "split.npz", faces))
        except UserError:
            if split in ("val", "train") or (split is None and not is_named(data)):
                raise
    if not parts:
        return Judged(faces, usable, "all", 0)
    training, validation = parts[0]
    for trained, validated in parts[1:]:
        training, validation = np.union1d(training, trained), np.intersect1d(validation, validated)
    of_run = training if split == "train" else validation
    training, validation = (np.intersect1d(part, usable) for part in (training, validation))
    if split != "all" and len(of_run) and not np.isin(of_run, usable).any():
        raise UserError(
            f"{faces.source}: of the {len(of_run)} faces of split={split or 'val'} none is left, "
            f"as their images cannot be read or data.exclude names them: restore them, or name "
            f"another split or other data."
        )
    if split in (None, "val") and not len(validation):
        raise UserError(
            "No face was validated on by all of these models, and trained on by none: name other "
            "data with data.root=, or set split=all."
        )
    chosen = {"val": validation, "train": training}.get(split or "val", usable)
    return Judged(faces, chosen, split or "val", int(np.isin(chosen, training).sum()))


def is_named(data: dict) -> bool:
    """Say whether the settings of data name other data than those of the training."""
    return data.get("root") is not None or "_target_" in data


def with_occluded(trained: dict) -> dict:
    """Return a training's settings, with labels of occluded points: they are judged in any case."""
    return {**trained, "data": _with_occluded(trained["data"])}


def _with_occluded(node: dict) -> dict:
    """Return the settings of a data set, or of several in one, with occluded points."""
    shown = {**node, "occluded": "train"} if "occluded" in node else node
    return {**shown, "sets": [*map(_with_occluded, node["sets"])]} if "sets" in node else shown


def open_labelled(data: dict, split: SplitName | None) -> Faces:
    """Return the labelled faces of named data, to be compared with predictions of a file.

    Raises:
        UserError: if no data is named.
    """
    if "_target_" not in data:
        raise UserError(
            "predictions= needs the labelled data that they are of: data=thousand data.root=FOLDER "
            "or another format of docs/data.md; or name the run with checkpoint=."
        )
    if split in ("val", "train"):
        raise UserError(f"split={split} is a run's: name it with checkpoint=, or leave split out.")
    return build(data, part="test" if split == "test" else "train")


def require_truth(faces: Faces, rows: np.ndarray, num_points: int | None) -> None:
    """Refuse faces without labels, of another number of points, or none at all."""
    if faces.points is None:
        raise UserError(
            f"{faces.source} has no labels to judge by: name labelled data, or another split."
        )
    if not len(rows):
        raise UserError(f"{faces.source}: there are no faces to judge in this split.")
    if num_points is not None and faces.num_points != num_points:
        raise UserError(
            f"{faces.source} has faces of {faces.num_points} points and the model finds "
            f"{num_points}: name a checkpoint trained on such data with checkpoint=."
        )


def take(faces: Faces, rows: np.ndarray) -> Faces:
    """Return some of the faces, `rows` (n,) ascending, as a data set of their own."""
    first, last = int(rows[0]), int(rows[-1]) + 1
    chosen = slice(first, last) if last - first == len(rows) else rows  # a slice stays mapped
    kept = {
        name: None if values is None else values[chosen]
        for name, values in (
            ("names", faces.names),
            ("points", faces.points),
            ("boxes", faces.boxes),
            ("wanted", faces.wanted),
            ("visible", faces.visible),
            ("sets", faces.sets),
        )
    }
    packed = None if faces.packed is None else faces.packed.take(chosen)
    return replace(faces, rows=None, packed=packed, **kept)


class MeanShape(NamedTuple):
    """How wrong the mean shape is: its MSE, and its NME (N,)."""

    mse: float
    nme: np.ndarray


class _Look(NamedTuple):
    """What is found in a batch, and what the mean shape is made of.

    rows (B,); points (B, K, 2) and sure (B, K), see `Finder.predict`; unreadable (B,) bool;
    total, count (K, 2): of known coordinates in input pixels; to_image (B, 2, 3). The last three
    are None of an exported file.
    """

    rows: np.ndarray
    points: np.ndarray
    sure: np.ndarray
    unreadable: np.ndarray
    total: np.ndarray | None = None
    count: np.ndarray | None = None
    to_image: np.ndarray | None = None


class Collected:
    """Predictions on their way to a file and to their errors; what the mean shape is made of."""

    def __init__(self, finder: Finder, batches, out: Path):
        self.finder, self.batches, self.out = finder, batches, out
        self.unreadable = 0
        self.total = np.zeros((finder.num_points, 2))
        self.count = np.zeros((finder.num_points, 2))
        self.to_image: list[np.ndarray] = []

    def looks(self) -> Iterator[_Look]:
        """Yield what all processes find, in order; none but the first one does."""
        return merge(map(self._look, self.finder.predict(self.batches)), len(self.batches))

    def _look(self, found: tuple[Any, np.ndarray, np.ndarray]) -> _Look:
        batch, points, sure = found
        rows = np.asarray(batch.rows)
        look = _Look(rows, points, sure, np.isin(rows, [*self.batches.unreadable]))
        if not hasattr(batch, "to_image"):  # of an exported file
            return look
        known = batch.points.numpy().astype(np.float64)
        total, count = np.nansum(known, axis=0), np.isfinite(known).sum(0)
        return look._replace(total=total, count=count, to_image=batch.to_image.numpy())

    def blocks(self) -> Blocks:
        """Yield all that is found, with the truth, while it is written to files."""
        finder, faces = self.finder, self.batches.source.faces
        file = PredictionFile(
            self.out,
            faces.names,
            finder.num_points,
            rounded=False,
            npz=True,
            unlabelled=finder.unlabelled,
            boxes=faces.boxes,
            certainty=finder.certainty,
            point_names=finder.layout.names,
        )
        bar = tqdm(total=len(faces), desc="judging", unit="face", disable=None)
        with file as written, bar:
            for look in self.looks():
                written.add(look.points, look.sure)
                if look.to_image is not None:
                    self.total += look.total
                    self.count += look.count
                    self.to_image.append(look.to_image)
                points, confidence = look.points.copy(), look.sure
                points[:, finder.unlabelled] = np.nan
                truth = np.array(faces.points[look.rows])
                truth[look.unreadable] = np.nan
                self.unreadable += int(look.unreadable.sum())
                bar.update(len(look.rows))
                if finder.certainty != "confidence":  # a spread is in pixels
                    confidence = np.full_like(confidence, np.nan)
                yield points, truth, confidence

    def judge_mean_shape(self, faces: Faces) -> MeanShape | None:
        """Return how wrong it would be to predict the faces' own mean shape in the input."""
        if not self.to_image:
            return None
        mean = self.total / np.where(self.count > 0, self.count, np.nan)
        eyes, done, squared, nme = self.finder.layout.eyes, 0, [], []
        for matrices in self.to_image:
            truth = np.array(faces.points[done : done + len(matrices)], np.float64)
            done += len(matrices)
            placed = torch.from_numpy(transform(matrices.astype(np.float64), mean))
            squared.append(squared_error(placed, torch.from_numpy(truth)))
            nme.append(normalized_error(placed, torch.from_numpy(truth), eyes))
        return MeanShape(float(torch.cat(squared).nanmean()), torch.cat(nme).numpy())
