"""`data=cvat`: CVAT for images 1.1, points and skeletons that were drawn in CVAT."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from landmarks.data.caches.cache_folder import describe_source
from landmarks.data.caches.mapped_faces import map_faces, to_faces
from landmarks.data.faces import Faces, TrainingPath
from landmarks.data.reading.label_file_per_part import (
    FirstPixel,
    ImageFolders,
    find_file,
    find_images,
)
from landmarks.data.reading.named_points import (
    Box,
    Face,
    Place,
    Shape,
    gather_faces,
    parse_number,
    read_faces_named,
)
from landmarks.data.reading.reader_arguments import FileReading
from landmarks.data.reading.text_fields import parse_name
from landmarks.data.reading.xml_elements import read_elements
from landmarks.errors import UserError
from landmarks.settings import flat

VERSION = 2


@flat
def read_faces(
    train: TrainingPath,
    test: str,
    *,
    folders: ImageFolders,
    first_pixel: FirstPixel = 0.0,
    reading: FileReading,
) -> Faces:
    """Return the faces of an XML file of CVAT for images, image by image.

    Args:
        train, test: the XML files; that of `test` need hold no points.
        folders: see `ImageFolders`.
        first_pixel: where the centre of the first pixel lies, in the points' coordinates.

    A face is a skeleton, the shapes of one group, all shapes of an image or, where one shape has
    all of a face's points, that shape; see `landmarks.data.reading.named_points`. A point that is
    outside is missing; occluded ones are kept apart. Boxes count from the image's corner, as COCO's
    do.

    Raises:
        UserError: if there is no such file, it is malformed, or an image cannot be read.
    """
    path, part = find_file(train, test, "cvat", reading), reading.part
    source = {**describe_source(path, VERSION), "part": part, "first_pixel": first_pixel}
    arrays = map_faces(
        "cvat",
        source,
        lambda: read_faces_named(str(path), lambda: _faces(path), part, "face"),
        reading,
        first_pixel=first_pixel,
    )
    folder, setting = find_images(path, folders, reading.part)
    return to_faces(arrays, folder, str(path), reading, named_by=setting)


def _faces(path: Path) -> Iterator[Face]:
    found: list[Face] = []
    taken = _Image(found)
    return read_elements(path, found, taken.start, taken.end)


class _Image:
    """Takes the elements of a file, and adds the faces of each image to `found` at its end."""

    def __init__(self, found: list[Face]):
        self.found, self.counts = found, {}
        self.name, self.shapes, self.boxes = b"", [], []
        self.skeleton: dict[str, str] | None = None
        self.skeletons = 0

    def start(self, tag: str, written: dict[str, str], where: str) -> None:
        if tag == "track":
            raise UserError(
                f"{where}: this is CVAT for video; export the task as 'CVAT for images 1.1'."
            )
        if tag == "image":
            self.name = parse_name(written.get("name", ""), where)
            self.shapes, self.boxes = [], []
        elif tag == "skeleton":
            self.skeleton = written
            self.skeletons += 1
        elif tag in ("points", "box") and not self.name:
            raise UserError(f"{where}: {tag} belong inside of an image.")
        elif tag == "points":
            self.shapes.append(self._read_points(written, where))
        elif tag == "box":
            edges = (
                parse_number(written.get(edge), f"{where}, {edge} of the box")
                for edge in ("xtl", "ytl", "xbr", "ybr")
            )
            self.boxes.append(Box(_group(written), tuple(edge - 0.5 for edge in edges), where))

    def end(self, tag: str, where: str) -> None:
        if tag == "skeleton":
            self.skeleton = None
        elif tag == "image":
            faces = gather_faces(self.name, self.shapes, self.boxes, self.counts)
            self.found += faces or [Face(self.name)]
            self.name = b""

    def _read_points(self, written: dict[str, str], where: str) -> Shape:
        label, group = written.get("label", ""), _group(written)
        if self.skeleton is not None:  # each is a face; a group joins it with its box
            group = _group(self.skeleton) or ("skeleton", self.skeletons)
        if not label:
            raise UserError(f"{where}: a label of the points is missing.")
        pairs = [
            _read_pair(it, f"{where}, '{label}'") for it in written.get("points", "").split(";")
        ]
        if written.get("outside") == "1":
            pairs = [(np.nan, np.nan)] * len(pairs)
        occluded = written.get("occluded")
        return Shape(label, group, pairs, where, None if occluded is None else occluded == "1")


def _group(written: dict[str, str]) -> str | None:
    """Return the group of a shape; 0 is none."""
    return None if written.get("group_id", "0") in ("", "0") else written["group_id"]


def _read_pair(text: str, where: str) -> Place:
    fields = text.split(",")
    if len(fields) != 2:
        raise UserError(
            f"{where}: x,y of each point belong here, separated by ';'; found '{text[:40]}'."
        )
    return parse_number(fields[0], f"{where}, x"), parse_number(fields[1], f"{where}, y")
