"""Finds the points of all faces of `landmarks predict`, and draws some of them."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from landmarks.commands.predicting.predict_settings import PredictSettings
from landmarks.data.crops.face_detector import WHERE
from landmarks.data.faces import Faces
from landmarks.data.images.decoding import image_size, read_image
from landmarks.distributed.deal_work import merge
from landmarks.errors import UserError
from landmarks.inference.finder_protocol import Finder
from landmarks.inference.open_detector import open_detector
from landmarks.inference.photo_faces import boxes_of_detector, boxes_of_file, look_at_faces
from landmarks.outputs.label_tool_files import PLACES, Labelled, label_files
from landmarks.outputs.pictures import arrange, draw_face, drawing, save_picture

log = logging.getLogger(__name__)
Take = Callable[[np.ndarray, np.ndarray], None]
MAX_PICTURED = 16  # predicted faces in a picture
Tiles = dict[str, list[np.ndarray]]  # by the name of the picture that they are parts of


@contextmanager
def open_labels(
    out: Path, kind: str, finder: Finder, faces: Faces, rounded: bool
) -> Iterator[Take]:
    """Yield what takes rows (n,) of faces and their points (n, K, 2), NaN where unknown.

    Args:
        out: the folder that the files go to.
        kind: of `landmarks.outputs.label_tool_files.label_files`; "csv" and "npz" are written
            elsewhere.
        finder: says what the points are called.
        rounded: to whole pixels.

    Raises:
        UserError: if the format cannot hold the faces.
    """
    if kind in ("csv", "npz"):
        yield lambda rows, points: None
        return
    if kind == "pts" and len(set(faces.names.tolist())) < len(faces):
        raise UserError(
            "format=pts has one face an image, and some images show several: use format=coco, cvat "
            "or labelme."
        )
    # Names of our own making, such as brow_3, would come back in the order of letters.
    layout = finder.layout
    numbers = [str(point) for point in range(layout.num_points)]
    names = layout.names or (layout.point_names() if kind == "coco" else numbers)
    with label_files(kind, out, names, Path(faces.folder)) as labels:

        def take(rows: np.ndarray, points: np.ndarray) -> None:
            for row, found in zip(rows.tolist(), points, strict=True):
                size = image_size(faces.path(row), faces.exif)
                if size is not None:  # what cannot be read has nothing to be labelled
                    shown = np.rint(found) if rounded else found
                    labels.add(Labelled(faces.name(row), size, shown))

        yield take
    log.info(f"For {kind}: {out / PLACES[kind]}")


class Album:
    """Pictures of some of the faces that are predicted, drawn as they come, written at the end.

    Of several processes each draws its own faces, and the first one writes the pictures.

    Args:
        folder: where faces.png, and heatmaps.png if there are some, go.
        faces: all that are predicted.
        strips: makes strips of heatmaps, see `show_heatmaps`, from images (B, 3, S, S); None: none.
    """

    def __init__(self, folder: Path, faces: Faces, strips: Callable[[Any], list] | None):
        self.folder, self.faces, self.strips = folder, faces, strips
        self.shown = set(np.linspace(0, len(faces) - 1, MAX_PICTURED).astype(int).tolist())
        self.pictures: Tiles = {"faces.png": [], "heatmaps.png": []}

    def draw(self, batch: Any, points: np.ndarray) -> Tiles:
        """Return the pictured ones of a batch, drawn with points (B, K, 2) in original pixels."""
        there, tiles = [], {name: [] for name in self.pictures}
        with drawing(self.folder):
            for i, row in enumerate(batch.rows.tolist()):
                if row not in self.shown:
                    continue
                image = read_image(self.faces.path(row), exif=self.faces.exif)
                if image is not None:
                    tiles["faces.png"].append(draw_face(image, None, points[i]))
                    there.append(i)
            if self.strips and there:
                tiles["heatmaps.png"] += self.strips(batch.images[there])
        return tiles

    def add(self, tiles: Tiles) -> None:
        """Take what was drawn of the next batch."""
        for name, drawn in tiles.items():
            self.pictures[name] += drawn

    def save(self) -> None:
        """Write what was drawn."""
        for name, tiles in self.pictures.items():
            with drawing(self.folder):
                if tiles:
                    save_picture(self.folder / name, arrange(tiles))
                    log.info(f"{len(tiles)} of them in a picture: {self.folder / name}")


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
