"""`data=coco`: COCO keypoint files, one face an annotation, with its box."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from landmarks.data.cachefolder import describe_source
from landmarks.data.faces import CacheName, ExifName, Faces
from landmarks.data.fields import parse_name
from landmarks.data.labels import FLOAT32_MAX
from landmarks.data.mapped import Arrays, Asked, map_faces, to_faces
from landmarks.data.recognise import refuse_other
from landmarks.data.textfile import read_text
from landmarks.errors import UserError
from landmarks.settings import PositiveInt

log = logging.getLogger(__name__)
VERSION = 1
BLOCK = 1024  # annotations turned into arrays at once


def read_faces(
    root: str,
    *,
    train_annotations: str,
    train_images: str,
    test_annotations: str,
    test_images: str,
    part: Literal["train", "test"] = "train",
    cache_dir: str | None = None,
    limit: PositiveInt | None = None,
    on_error: Literal["stop", "skip"] = "stop",
    cache: CacheName = "auto",
    exclude: str | None = None,
    exif: ExifName = "rotate",
) -> Faces:
    """Return the faces of a COCO keypoint file, those of one image beside each other.

    Args:
        root: what the other paths start from.
        train_annotations, test_annotations: the JSON files.
        train_images, test_images: the folders that hold the images.
        part: which of the two.
        cache_dir: where the points are kept in binary; None: the user's cache folder.
        limit: only so many faces, the first ones; None: all.
        on_error: "stop" at unreadable images with their list, or "skip" them and say how many.
        cache: see `Faces`.
        exclude: training faces to leave out, see `landmarks.data.exclude.read_names`.
        exif: see `Faces`.

    A keypoint with v=0 is not labelled. Crowds and, in training, faces without a labelled keypoint
    are left out. Test faces need no keypoints; a test file without annotations stands for its
    images, one face each. Keypoints are used as they
    are; boxes, which COCO counts from the image's corner, move by the half pixel to its first
    pixel's centre.

    Raises:
        UserError: if there is no such file, it is malformed, or an image cannot be read.
    """
    chosen = {"train": (train_annotations, train_images), "test": (test_annotations, test_images)}
    path, images = (Path(root) / place for place in chosen[part])
    if not path.is_file():
        refuse_other(Path(root), "coco")
        raise UserError(
            f"There is no {path}: the {part} annotations are looked for there; set "
            f"data.root=FOLDER and data.{part}_annotations=FILE."
        )
    source = {**describe_source(path, VERSION), "part": part}
    arrays = map_faces("coco", source, lambda: _read(path, part), cache_dir)
    asked = Asked(part, limit, on_error, cache, cache_dir, exclude, exif)
    return to_faces(arrays, images, str(path), asked)


def _read(path: Path, part: str) -> Iterator[Arrays]:
    content = _load(path)
    order: dict = {}  # image id -> place, name
    for i, image in enumerate(content["images"]):
        where = f"{path}, images[{i}]"
        if not isinstance(image, dict) or not isinstance(image.get("file_name"), str):
            raise UserError(f"{where}: a 'file_name' is missing.")
        if not isinstance(image.get("id"), int | str) or image["id"] in order:
            raise UserError(f"{where}: an 'id' of its own is missing.")
        order[image["id"]] = i, parse_name(image["file_name"], where)
    annotations = content.get("annotations")
    if annotations is None and part == "test":
        yield Arrays(np.array([name for _, name in order.values()]), None)
        return
    kept = _choose(path, annotations or [], order, part)
    has_points, has_boxes = (
        any(annotations[i].get(key) is not None for i in kept) for key in ("keypoints", "bbox")
    )
    for start in range(0, len(kept), BLOCK):
        rows = kept[start : start + BLOCK]
        yield Arrays(
            np.array([order[annotations[i]["image_id"]][1] for i in rows]),
            _points(path, annotations, rows, kept[0]) if has_points else None,
            np.array([_box(path, annotations, i) for i in rows]) if has_boxes else None,
        )


def _load(path: Path) -> dict:
    try:
        content = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        refuse_other(path, "coco")
        raise UserError(
            f"{path}, line {error.lineno}, column {error.colno}: not JSON ({error.msg})."
        ) from error
    lists = [content.get(k) for k in ("images", "annotations")] if isinstance(content, dict) else []
    if not lists or not isinstance(lists[0], list) or not isinstance(lists[1] or [], list):
        refuse_other(path, "coco")
        raise UserError(f"{path}: lists 'images' and 'annotations' belong at its top.")
    return content


def _choose(path: Path, annotations: list, order: dict, part: str) -> list[int]:
    """Return which annotations are faces, image by image as the file has its images.

    A file may list faces in any order; those of one image must not be parted by a split in blocks.
    """
    kept, empty = [], 0
    for i, face in enumerate(annotations):
        where = f"{path}, annotations[{i}]"
        if not isinstance(face, dict) or not isinstance(face.get("image_id"), int | str):
            raise UserError(f"{where}: an 'image_id' is missing.")
        if face["image_id"] not in order:
            raise UserError(f"{where}: there is no image with the id {face['image_id']}.")
        if face.get("iscrowd"):
            continue
        keypoints = face.get("keypoints")
        if part == "train" and not isinstance(keypoints, list):
            raise UserError(f"{where}: a list of 'keypoints' is missing.")
        if part == "train" and not any(keypoints[2::3]):
            empty += 1
        else:
            kept.append(i)
    if empty:
        log.warning("Left out %d annotations of %s without a labelled keypoint.", empty, path)
    return sorted(kept, key=lambda i: order[annotations[i]["image_id"]][0])


def _points(path: Path, annotations: list, rows: list[int], first: int) -> np.ndarray:
    """Return the points (n, K, 2) of some annotations; the one at `first` says what K is."""
    faces = []
    for i in [first, *rows]:
        where = f"{path}, annotations[{i}], keypoints"
        faces.append(_numbers(annotations[i].get("keypoints"), where))
        if len(faces[-1]) != len(faces[0]) or len(faces[0]) % 3 or not len(faces[0]):
            raise UserError(
                f"{where}: {len(faces[-1])} numbers; x, y, v of each point belong here, of the "
                f"same points in every face (annotations[{first}] has {len(faces[0])} numbers)."
            )
    values = np.array(faces[1:]).reshape(len(rows), -1, 3)
    return np.where(values[:, :, 2:] > 0, values[:, :, :2], np.nan)


def _box(path: Path, annotations: list, i: int) -> np.ndarray:
    where = f"{path}, annotations[{i}], bbox"
    if annotations[i].get("bbox") is None:
        return np.full(4, np.nan)
    values = _numbers(annotations[i]["bbox"], where)
    if len(values) != 4:
        raise UserError(f"{where}: {len(values)} numbers; x, y, width and height belong here.")
    x, y, width, height = values
    return np.array([x, y, x + width, y + height]) - 0.5


def _numbers(values: object, where: str) -> np.ndarray:
    """Return a list of finite numbers as (n,) float64."""
    if not isinstance(values, list):
        raise UserError(f"{where}: a list of numbers belongs here; found '{str(values)[:40]}'.")
    for value in values:
        if type(value) not in (int, float) or not abs(value) <= FLOAT32_MAX:
            raise UserError(f"{where}: '{str(value)[:40]}' is not a number.")
    return np.array(values, np.float64)
