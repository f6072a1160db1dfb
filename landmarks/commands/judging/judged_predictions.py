"""What a model finds in the faces that it is judged on, by one process or several."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from landmarks.data.faces import Faces
from landmarks.distributed.deal_work import merge
from landmarks.evaluation.face_errors import Blocks
from landmarks.geometry import transform
from landmarks.inference.finder import Finder
from landmarks.metrics import normalized_error, squared_error
from landmarks.outputs.predictions import PredictionFile


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
