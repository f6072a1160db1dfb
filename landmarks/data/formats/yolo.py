"""`data=yolo`: YOLO-pose data sets, a text file an image, a line a face, in fractions of it."""

import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from landmarks.data.caches.mapped_faces import Arrays, map_faces, to_faces
from landmarks.data.faces import ExifName, Faces
from landmarks.data.formats.yolo_set import YoloSet, label_path, list_images, open_set
from landmarks.data.images.decoding import read_size, stamp
from landmarks.data.images.photos import encode_names
from landmarks.data.reading.label_file_per_image import describe_files
from landmarks.data.reading.reader_arguments import FileReading
from landmarks.data.reading.text_fields import parse_numbers
from landmarks.data.reading.text_file import read_text
from landmarks.errors import UserError, did_you_mean, say_count
from landmarks.settings import flat

log = logging.getLogger(__name__)
VERSION = 2
BLOCK = 256  # images whose labels are parsed at once
MAX_CLASS = 1 << 24  # whole numbers below are exact as float32
MAX_SHARE = 8  # of a side of the image: points and boxes may reach beyond it
BOX = 5  # fields before the points: class, centre and size of the box


class Row(NamedTuple):
    """A line of a label file: its image (its place in the block), its place, its fields."""

    image: int
    path: str
    line: int
    fields: list[str]


@flat
def read_faces(root: str, *, category: str | None = None, reading: FileReading) -> Faces:
    """Return the faces of a YOLO-pose data set, one a line, image by image.

    Args:
        root: the folder with data.yaml, or that file. It names the images of `train` and of
            `test` or `val`; labels of a/images/b.jpg are a/labels/b.txt.
        category: name or number of the faces' class; None: there is one class only.

    The edges of an image are 0 and 1, so that a fraction s of a side of w pixels is the coordinate
    s w - 0.5. A point with v=0 is not labelled; nor is one at 0, 0 where there is no v. Faces
    without a labelled point, and images without labels, are left out of training.

    Raises:
        UserError: if there is no such data set, it is malformed, or an image cannot be read.
    """
    data = open_set(Path(root))
    folder, images = list_images(data, reading.part)
    places = (os.path.join(folder, name) for name in images)  # noqa: PTH118 (thousands)
    files = (file for place in places for file in (place, label_path(place)))
    source = {
        "path": f"{data.path.resolve()}, {reading.part} faces",
        "files": describe_files(folder, files),
        "exif": reading.exif,
        "points": [data.num_points, data.numbers, data.point_names, category],
        "version": VERSION,
    }
    read = _Reader(data, folder, images, category, reading)
    arrays = map_faces("yolo", source, read.blocks, reading)
    faces = to_faces(arrays, folder, str(data.path), reading, linked=True)
    return replace(faces, flip=None if data.flip is None else np.array(data.flip))


class _Reader:
    """Reads the label files of a part, a block of images at once."""

    def __init__(
        self,
        data: YoloSet,
        folder: Path,
        images: list[str],
        category: str | None,
        reading: FileReading,
    ):
        self.data, self.folder, self.images = data, folder, images
        self.part, self.exif = reading.part, reading.exif
        self.category = None if category is None else _find_class(data, category)
        self.classes: set[int] = set()  # of faces with points
        self.unlabelled = self.without_points = 0  # images, lines

    def blocks(self) -> Iterator[Arrays]:
        has_labels = any(stamp(self._labels(name))[0] > 0 for name in self.images)
        for start in range(0, len(self.images), BLOCK):
            block = self.images[start : start + BLOCK]
            arrays = self._read(block) if has_labels else Arrays(self._encode(block), None)
            if len(arrays.names):
                yield arrays
        if self.category is None and len(self.classes) > 1:
            named = [self.data.classes.get(one, str(one)) for one in sorted(self.classes)]
            raise UserError(
                f"{self.data.path}: faces of several classes have points ({', '.join(named)}); "
                f"name the one that is meant with data.category={named[0]}."
            )
        if self.part == "train" and (self.unlabelled or self.without_points):
            images = say_count(len(self.images), "image")
            log.warning(
                f"Left out {self.unlabelled} of {images} of {self.data.path} without labels, and "
                f"{say_count(self.without_points, 'line')} of other classes or without points."
            )

    def _labels(self, name: str) -> str:
        return label_path(os.path.join(self.folder, name))  # noqa: PTH118 (thousands)

    def _encode(self, names: list[str]) -> np.ndarray:
        return encode_names(names, str(self.folder))

    def _read(self, block: list[str]) -> Arrays:
        rows = [row for i, name in enumerate(block) for row in self._rows(i, name)]
        width = BOX + self.data.num_points * self.data.numbers
        values = parse_numbers(
            [field for row in rows for field in row.fields],
            lambda i: (
                f"{rows[i // width].path}, line {rows[i // width].line}, column {i % width + 1}"
            ),
        ).reshape(len(rows), width)
        wanted = self._choose(values, rows)
        rows = [row for row, is_wanted in zip(rows, wanted, strict=True) if is_wanted]
        shown = [row.image for row in rows]
        if self.part == "test":  # an image without labels is a face to predict
            bare = sorted({*range(len(block))} - {*shown})
            order = np.argsort([*shown, *bare], kind="stable")
            shown = [[*shown, *bare][i] for i in order]
            values = np.vstack([values[wanted], np.full((len(bare), width), np.nan)])[order]
        else:
            values = values[wanted]
        return self._to_arrays([block[i] for i in shown], values.astype(np.float64))

    def _rows(self, image: int, name: str) -> Iterator[Row]:
        """Yield the lines of an image's label file that have points."""
        path = Path(self._labels(name))
        lines = read_text(path).splitlines() if path.is_file() else []
        width = BOX + self.data.num_points * self.data.numbers
        found = 0
        for number, line in enumerate(lines, start=1):
            fields = line.split()
            found += bool(fields)
            if len(fields) == BOX:
                self.without_points += 1
            elif fields and len(fields) != width:
                raise UserError(
                    f"{path}, line {number}: {say_count(len(fields), 'field')} where a class, 4 "
                    f"numbers of a box and {self.data.num_points} points of {self.data.numbers} "
                    f"numbers make {width} (kpt_shape of {self.data.path.name})."
                )
            elif fields:
                yield Row(image, str(path), number, fields)
        self.unlabelled += not found

    def _choose(self, values: np.ndarray, rows: list[Row]) -> np.ndarray:
        """Return (n,) bool, which of the lines are faces; check their numbers."""
        points = values[:, BOX:].reshape(-1, self.data.num_points, self.data.numbers)
        classes = values[:, 0]
        are_classes = (classes == np.rint(classes)) & (classes >= 0) & (classes < MAX_CLASS)
        for i in np.flatnonzero(~are_classes)[:1]:
            raise UserError(
                f"{rows[i].path}, line {rows[i].line}, column 1: the number of a class belongs "
                f"here; found '{rows[i].fields[0][:40]}'."
            )
        for i, k in np.argwhere(np.abs(values[:, 1:BOX]) > MAX_SHARE)[:1]:
            raise UserError(
                f"{rows[i].path}, line {rows[i].line}, column {k + 2}: a box's centre and size "
                f"are fractions of the image's width and height, from 0 to 1; found "
                f"{values[i, k + 1]:g}."
            )
        if self.data.numbers == 3:
            for i, k in np.argwhere(~np.isin(points[:, :, 2], (0, 1, 2)))[:1]:
                raise UserError(
                    f"{rows[i].path}, line {rows[i].line}, column {BOX + 3 * k + 3}: v of a point "
                    f"is 0, 1 or 2; found '{rows[i].fields[BOX + 3 * k + 2][:40]}'."
                )
        shares = points[:, :, :2]
        for i, k in np.argwhere((np.abs(shares) > MAX_SHARE).any(axis=2))[:1]:
            raise UserError(
                f"{rows[i].path}, line {rows[i].line}, column {BOX + self.data.numbers * k + 1}: "
                f"x and y are fractions of the image's width and height, from 0 to 1; found "
                f"{shares[i, k, 0]:g}, {shares[i, k, 1]:g}."
            )
        if self.category is not None:
            wanted = classes == self.category
        else:
            wanted = np.ones(len(values), bool)
        if self.part == "train":
            wanted &= ~_unlabelled(points).all(axis=1)
        self.classes.update(classes[wanted].astype(int).tolist())
        self.without_points += int((~wanted).sum())
        return wanted

    def _to_arrays(self, names: list[str], values: np.ndarray) -> Arrays:
        sizes = self._sizes(names)
        points = values[:, BOX:].reshape(-1, self.data.num_points, self.data.numbers)
        gone = _unlabelled(points)[:, :, None]
        places = np.where(gone, np.nan, points[:, :, :2]) * sizes[:, None] - 0.5
        middles, halves = values[:, 1:3], values[:, 3:5] / 2
        low, high = (middles - halves) * sizes - 0.5, (middles + halves) * sizes - 0.5
        boxes = np.hstack([low, high]).astype(np.float32)
        return Arrays(
            self._encode(names) if names else np.array([], bytes),
            places.astype(np.float32),
            boxes,
            np.where(gone[:, :, 0], 0, points[:, :, 2]) if self.data.numbers == 3 else None,
            self.data.point_names,
        )

    def _sizes(self, names: list[str]) -> np.ndarray:
        """Return (n, 2) width and height of images, NaN of those that cannot be read."""
        known = {name: _size(os.path.join(self.folder, name), self.exif) for name in {*names}}  # noqa: PTH118
        return np.array([known[name] for name in names], np.float64).reshape(-1, 2)


def _size(path: str, exif: ExifName) -> tuple[float, float]:
    return read_size(path, exif) or (np.nan, np.nan)


def _unlabelled(points: np.ndarray) -> np.ndarray:
    """Return (n, K) bool of points (n, K, 2 or 3): which have no coordinates."""
    if points.shape[2] == 3:
        return (points[:, :, 2] == 0) | np.isnan(points).any(axis=2)
    return (points == 0).all(axis=2) | np.isnan(points).any(axis=2)


def _find_class(data: YoloSet, wanted: str) -> int:
    if wanted.isdecimal():
        return int(wanted)
    for number, name in data.classes.items():
        if name == wanted:
            return number
    raise UserError(
        f"{data.path}, names: there is no class '{wanted}' (data.category); there is "
        f"{', '.join(data.classes.values())}.{did_you_mean(wanted, data.classes.values())}"
    )
