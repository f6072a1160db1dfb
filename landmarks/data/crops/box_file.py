"""Boxes of faces in photos, as any detector's file has them."""

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from landmarks.data.faces import Faces
from landmarks.data.images.decoding import image_size
from landmarks.data.reading.text_file import read_text
from landmarks.errors import UserError, say_some

EDGES = ("x0", "y0", "x1", "y1")
NAMES = ("file_name", "image", "image_name", "name", "photo")  # columns that name the photo


def read_boxes(path: Path) -> dict[str, list]:
    """Return photo -> boxes [x0, y0, x1, y1] of a file, a CSV table or COCO's JSON.

    Raises:
        UserError: if it is neither, or a box has no size, with its line.
    """
    if not path.is_file():
        raise UserError(
            f"faces={path}: there is no such file: name one of boxes, or use whole or detect."
        )
    text, found = read_text(path), {}
    for where, name, box in _of_coco(path, text) if text[:1] == "{" else _of_table(path, text):
        try:
            edges = [float(edge) for edge in box]
        except (TypeError, ValueError):
            edges = []
        if len(edges) != 4 or not (edges[2] > edges[0] and edges[3] > edges[1]):
            raise UserError(f"{where}: {box} is no box x0,y0,x1,y1 with a size; correct it.")
        found.setdefault(name, []).append(edges)
    if not found:
        raise UserError(f"{path} holds no boxes.")
    return found


def _of_table(path: Path, text: str) -> Iterator[tuple[str, str, list]]:
    rows = csv.reader(text.splitlines())
    header = [name.strip().lower() for name in next(rows, [])]
    named = next((header.index(name) for name in NAMES if name in header), None)
    if named is None or not set(EDGES) <= set(header):
        raise UserError(
            f"{path}, line 1: a table of boxes has the columns file_name,x0,y0,x1,y1; found "
            f"{say_some(header, 8)}."
        )
    columns = [header.index(edge) for edge in EDGES]
    for line, row in enumerate(rows, start=2):
        if row:
            box = [row[column] for column in columns if column < len(row)]
            yield f"{path}, line {line}", row[named] if named < len(row) else "", box


def _of_coco(path: Path, text: str) -> Iterator[tuple[str, str, list]]:
    try:
        content = json.loads(text)
        names = {image["id"]: image["file_name"] for image in content["images"]}
        for index, annotation in enumerate(content["annotations"]):
            x, y, width, height = annotation["bbox"]
            where = f"{path}, annotation {index}"
            yield where, names[annotation["image_id"]], [x, y, x + width, y + height]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is no COCO file with images, annotations and a bbox of each ({error})."
        ) from error


def take_faces(faces: Faces, rows: list[int] | np.ndarray, boxes: list | np.ndarray) -> Faces:
    """Return some faces, the same photo perhaps several times, with boxes (n, 4)."""
    rows = np.asarray(rows, int)
    pixels = None if faces.pixels is None else [faces.pixels[row] for row in rows]
    boxes = np.float32(boxes).reshape(-1, 4)
    kept = {"points": None, "wanted": None, "asked": None, "visible": None, "rows": None}
    kept["packed"] = None if faces.packed is None else faces.packed.take(rows)
    return replace(faces, names=faces.names[rows], boxes=boxes, pixels=pixels, **kept)


def refuse_outside(faces: Faces) -> None:
    """Refuse boxes that lie beside their photos.

    Raises:
        UserError: naming the photo.
    """
    sizes: dict[str, tuple[int, int] | None] = {}
    for row in range(len(faces)):
        path = faces.path(row)
        if path not in sizes:
            image = None if faces.pixels is None else faces.pixels[row]
            is_file = image is None
            sizes[path] = image_size(path, faces.exif) if is_file else image.shape[1::-1]
        size, (x0, y0, x1, y1) = sizes[path], faces.boxes[row].tolist()
        if size and not (x1 > 0 and y1 > 0 and x0 < size[0] and y0 < size[1]):
            raise UserError(
                f"{faces.name(row)}: the box {x0:g},{y0:g},{x1:g},{y1:g} lies outside the photo, "
                f"which is {size[0]}x{size[1]} pixels; correct it."
            )
