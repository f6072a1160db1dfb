"""Boxes of faces, and the crop about them."""

import csv
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from landmarks.data.faces import Faces
from landmarks.data.images.decoding import image_size
from landmarks.data.reading.text_file import read_text
from landmarks.data.split_groups import group_images
from landmarks.errors import UserError, say_count, say_some
from landmarks.geometry import BoxCrop, Crop, CropName

log = logging.getLogger(__name__)
BLOCK = 256  # faces looked at at once: what the processor's cache holds
BoxSource = Literal["data", "points"]
EDGES = ("x0", "y0", "x1", "y1")
NAMES = ("file_name", "image", "image_name", "name", "photo")  # columns that name the photo


def frame_faces(
    faces: Faces,
    crop: CropName,
    box_margin: float,
    box_from: BoxSource = "data",
    leave_out: bool = False,
) -> tuple[Faces, Crop | BoxCrop]:
    """Return the faces with the boxes that the crop needs, and the crop as the loader takes it.

    Args:
        crop: "box" shows a square about the face's box; others the whole image.
        box_margin: share of the box's larger side that is added to it at every side.
        box_from: "data" takes the data set's boxes; "points" the box of the labelled points, of
            which a face needs two.
        leave_out: True leaves used faces (`faces.rows`) without a box out, with a warning; False
            refuses them. A box must have a size.

    Raises:
        UserError: if crop=box finds no box, or a used face has none.
    """
    if crop != "box":
        _warn_of_groups(faces, crop)
        return faces, crop
    if box_from == "points":
        faces = replace(faces, boxes=point_boxes(faces.points))
    elif faces.boxes is None:
        raise UserError(
            f"crop=box needs a box of each face and {faces.source} has none: use data with boxes "
            f"(coco, wflw, yolo, dlib, cvat, ...), box_from=points where there are labels, or "
            f"train with another crop."
        )
    rows = faces.usable
    usable = have_size(faces.boxes[rows])
    if usable.all():
        return faces, BoxCrop(box_margin)
    bad = rows[~usable]
    first = f"'{faces.name(bad[0])}' (face {bad[0] + 1}) first"
    what = "no two labelled points" if box_from == "points" else "no box, or one without size"
    if not leave_out:
        raise UserError(
            f"crop=box needs a box of each face: {say_count(len(bad), 'face')} of {faces.source} "
            f"with {what}, "
            f"{first}: correct them, or leave them out with data.on_error=skip or, in training, "
            f"data.exclude."
        )
    if not usable.any():
        raise UserError(f"crop=box: every face of {faces.source} has {what}.")
    count = say_count(len(bad), "face")
    log.warning(f"Left out {count} of {faces.source} with {what}, {first}.")
    return replace(faces, rows=rows[usable]), BoxCrop(box_margin)


def point_boxes(points: np.ndarray) -> np.ndarray:
    """Return the boxes (N, 4) float32, x0, y0, x1, y1, of the labelled points of (N, K, 2)."""
    boxes = np.empty((len(points), 4), np.float32)
    for start in range(0, len(points), BLOCK):
        block = np.asarray(points[start : start + BLOCK])
        boxes[start : start + BLOCK, :2] = _halve(block, np.fmin)
        boxes[start : start + BLOCK, 2:] = _halve(block, np.fmax)
    return boxes


def _halve(block: np.ndarray, choose: np.ufunc) -> np.ndarray:
    """Return `choose.reduce(block, axis=1)` of a block (n, K, 2), ten times as fast.

    It reduces half of the points with the other half at once; NumPy reduces pair by pair.
    """
    while block.shape[1] > 1:
        half = block.shape[1] // 2
        kept = choose(block[:, :half], block[:, half : 2 * half])
        if block.shape[1] % 2:
            kept[:, 0] = choose(kept[:, 0], block[:, -1])
        block = kept
    return block[:, 0]


def have_size(boxes: np.ndarray) -> np.ndarray:
    """Return (n,) bool: does each of the boxes (n, 4) have a size?"""
    sides = boxes[:, 2:] - boxes[:, :2]  # NaN where there is none: not at least 0
    return (sides >= 0).all(axis=1) & (sides > 0).any(axis=1)


def sides_of(boxes: np.ndarray) -> np.ndarray:
    """Return the root of the area of each of the boxes (n, 4)."""
    return np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def square_about(boxes: np.ndarray, places: dict) -> np.ndarray:
    """Return the squares (n, 4) of a photo in which faces lie as a model expects them.

    Args:
        boxes: (n, 4), x0, y0, x1, y1 about each face's points.
        places: see `landmarks.data.crops.expected_face_place.measure_places`.
    """
    boxes = np.asarray(boxes, np.float64)
    sides = sides_of(boxes)[:, None] / places["side"]
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    corners = middles - sides * np.array(places["center"])
    return np.float32(np.hstack([corners, corners + sides]))


def _warn_of_groups(faces: Faces, crop: CropName) -> None:
    rows = slice(None) if faces.rows is None else faces.rows
    images = group_images(faces.names[rows])
    shown = np.bincount(images)
    if faces.sets is not None:  # a face that two of the sets label is one face
        of_set = faces.sets[rows]
        each = [np.bincount(images[of_set == one], minlength=len(shown)) for one in set(of_set)]
        shown = np.max(each, axis=0, initial=0)
    if (shown > 1).any():
        log.warning(
            f"Several faces are shown in {(shown > 1).sum()} of {say_count(len(shown), 'image')} "
            "of "
            f"{faces.source}, but "
            f"crop={crop} shows the model the whole image: it cannot tell which face is meant. "
            f"Train with crop=box."
        )


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
