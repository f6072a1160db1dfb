"""`data=labelme`: a JSON file an image, as Labelme writes them."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from landmarks.data.caches.mapped_faces import map_faces, to_faces
from landmarks.data.faces import Faces
from landmarks.data.reading.format_signatures import refuse_other
from landmarks.data.reading.json_items import read_json
from landmarks.data.reading.label_file_per_image import LabelFile, LabelTree, open_part
from landmarks.data.reading.label_file_per_part import FirstPixel
from landmarks.data.reading.named_points import (
    Box,
    Face,
    Shape,
    gather_faces,
    read_faces_named,
    take_number,
)
from landmarks.data.reading.reader_arguments import FileReading
from landmarks.data.reading.text_fields import parse_name
from landmarks.errors import UserError
from landmarks.settings import flat

VERSION = 2
HEAD = 4096  # characters of a file that tell whether Labelme wrote it
POINTED = ("point", "points", "linestrip", "polygon", "line")  # shapes whose points are landmarks


@flat
def read_faces(
    root: str,
    *,
    tree: LabelTree,
    first_pixel: FirstPixel = 0.0,
    reading: FileReading,
) -> Faces:
    """Return the faces of all of Labelme's JSON files below a folder, in the order of their paths.

    Args:
        root: any tree of folders.
        tree: see `LabelTree`; an image that lies where imagePath says is taken from there.
        first_pixel: where the centre of the first pixel lies, in the points' coordinates.

    A face is what has one group_id or, without, all shapes of an image; see
    `landmarks.data.reading.named_points`. A rectangle is a face's box, and counts from the image's
    corner, as COCO's do. A point without a shape is missing.

    Raises:
        UserError: if there are no such files, one is malformed, or an image cannot be read.
    """
    part, folder = reading.part, tree.images_from(root)
    listed, source = open_part(root, ".json", part, tree, "labelme", _is_labelme)
    source |= {"first_pixel": first_pixel, "version": VERSION}
    arrays = map_faces(
        "labelme",
        source,
        lambda: read_faces_named(root, lambda: _faces(Path(root), folder, listed), part, "face"),
        reading,
        first_pixel=first_pixel,
    )
    return to_faces(arrays, folder, root, reading, linked=True, named_by="data.images")


def _is_labelme(path: Path) -> bool:
    with path.open(encoding="utf-8", errors="replace") as text:
        head = text.read(HEAD)
    return '"shapes"' in head or '"imagePath"' in head


def _faces(root: Path, folder: Path, listed: list[LabelFile]) -> Iterator[Face]:
    counts: dict[str, tuple[int, str]] = {}
    for file in listed:
        path = root / file.path
        content = read_json(path)
        shapes = content.get("shapes") if isinstance(content, dict) else None
        if not isinstance(shapes, list):
            refuse_other(path, "labelme")
            raise UserError(f"{path}: a list 'shapes' belongs at its top.")
        image = parse_name(_find_image(folder, file, content), str(path))
        drawn, boxes = [], []
        for i, shape in enumerate(shapes):
            where = f"{path}, shapes[{i}]"
            if not isinstance(shape, dict) or not isinstance(shape.get("points"), list):
                raise UserError(f"{where}: a list 'points' is missing.")
            kind, group = shape.get("shape_type", "polygon"), shape.get("group_id")
            places = [
                _read_place(place, f"{where}.points[{k}]")
                for k, place in enumerate(shape["points"])
            ]
            if kind == "rectangle" and len(places) in (2, 4):
                xs, ys = zip(*places, strict=True)
                edges = min(xs), min(ys), max(xs), max(ys)
                boxes.append(Box(group, tuple(edge - 0.5 for edge in edges), where))
            elif kind in POINTED and places:
                drawn.append(Shape(_read_label(shape, where), group, places, where))
        yield from gather_faces(image, drawn, boxes, counts) or [Face(image)]


def _find_image(folder: Path, file: LabelFile, content: dict) -> str:
    """Return the path of a file's image: where imagePath says, or as the file's name says."""
    written = str(content.get("imagePath") or "").replace("\\", "/")
    below = PurePosixPath(file.path).parent
    named = os.path.normpath(below / written) if written else ""
    is_inside = named and not named.startswith(("..", "/"))
    if is_inside and named != file.image and (folder / named).is_file():
        return PurePosixPath(named).as_posix()
    return file.image


def _read_label(shape: dict, where: str) -> str:
    label = shape.get("label")
    if not isinstance(label, str) or not label:
        raise UserError(f"{where}: a label is missing.")
    return label


def _read_place(place: Any, where: str) -> tuple[float, float]:
    if not isinstance(place, list) or len(place) != 2:
        raise UserError(f"{where}: x and y belong here; found '{str(place)[:40]}'.")
    return take_number(place[0], where), take_number(place[1], where)
