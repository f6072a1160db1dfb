"""Finds the points of all faces of `landmarks predict`, by one process or several."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from landmarks.commands.predicting.predict_settings import PredictSettings
from landmarks.commands.predicting.predicted_pictures import Album, Tiles
from landmarks.data.crops.face_detector import WHERE
from landmarks.data.faces import Faces
from landmarks.distributed.deal_work import merge
from landmarks.errors import UserError
from landmarks.inference.finder import Finder
from landmarks.inference.open_detector import open_detector
from landmarks.inference.photo_faces import boxes_of_detector, boxes_of_file, look_at_faces


class Found(NamedTuple):
    """What is found in a batch.

    rows (B,): where its faces stand in the data set; points (B, K, 2) and sure (B, K): see
    `Finder.predict`; unreadable (B,) bool: there was no image; tiles: see `Album`.
    """

    rows: np.ndarray
    points: np.ndarray
    sure: np.ndarray
    unreadable: np.ndarray
    tiles: Tiles


class FoundPoints:
    """Yields what is found batch by batch, in order; of several processes the first one does.

    Attributes:
        faces: N, one a row, with the boxes that frame them, if some do.
        album: gathers the pictures.

    Raises:
        UserError: if the photos show no faces, or the model has no heatmaps where they are wanted.
    """

    def __init__(self, settings: PredictSettings, finder: Finder, photos: Faces):
        self.finder, self.batches, self.batch_size = finder, None, settings.batch_size
        framing = replace(settings.framing(), dealt=True)
        if settings.faces == "whole":
            self.batches = finder.batches(photos, framing)
            self.faces, self.stream = self.batches.source.faces, finder.predict(self.batches)
        else:
            self.faces = _find_faces(settings, photos)
            few = replace(framing, workers=0)  # a batch at a time: no process would pay
            self.stream = look_at_faces(finder, self.faces, few, settings.looks)
        strips = _heatmaps_of(finder) if settings.heatmaps else None
        self.album = Album(Path(settings.run_dir), self.faces, strips)

    def __iter__(self) -> Iterator[Found]:
        return merge(self._own(), -(-len(self.faces) // self.batch_size))

    def _own(self) -> Iterator[Found]:
        """Yield what this process finds."""
        for batch, points, sure in self.stream:
            rows = np.asarray(batch.rows)
            gone = [] if self.batches is None else [*self.batches.unreadable]
            known = points.copy()
            known[:, self.finder.unlabelled] = np.nan
            yield Found(rows, points, sure, np.isin(rows, gone), self.album.draw(batch, known))


def _find_faces(settings: PredictSettings, photos: Faces) -> Faces:
    """Return the faces of photos, one a row, with boxes.

    Raises:
        UserError: if there are none, or what finds them does not.
    """
    if settings.faces != "detect":
        return boxes_of_file(photos, Path(settings.faces))
    if settings.detector is None:
        raise UserError(f"faces=detect needs detector=FILE: {WHERE}, or a keypoint_rcnn's run.")
    return boxes_of_detector(photos, open_detector(Path(settings.detector), settings.device))


def _heatmaps_of(finder: Finder) -> Callable:
    """Return what makes strips of heatmaps of images.

    Raises:
        UserError: if the model has none.
    """
    from landmarks.commands.predicting.model_pictures import (  # they need torch
        has_heatmaps,
        show_heatmaps,
    )

    finder = next(iter(getattr(finder, "members", [])), finder)  # the first of several
    model = getattr(finder, "model", None)
    if model is None or not has_heatmaps(model):
        if hasattr(finder, "session"):
            raise UserError(
                "heatmaps=true: an exported model gives points alone; leave it out, or name the "
                "checkpoint of a unet."
            )
        raise UserError(
            f"heatmaps=true: this is a {finder.description.partition(',')[0]}, which has no "
            f"heatmaps; leave it out, or name a checkpoint of a unet (model=unet_resnet18)."
        )
    ranges = finder.layout.pick_ranges(finder.config["pictured_region"])
    return partial(show_heatmaps, model, ranges=ranges, precision=finder.precision)
