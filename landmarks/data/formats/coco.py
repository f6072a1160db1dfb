"""`data=coco`: COCO keypoint files, one face an annotation, with its box."""

from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from landmarks.data.cache_folder import describe_source
from landmarks.data.faces import Faces, TrainingPlace
from landmarks.data.formats.coco_file import CocoFile, Keys, choose_faces, load
from landmarks.data.formats.coco_places import find_places
from landmarks.data.formats.landmarks_csv import FLOAT32_MAX
from landmarks.data.formats.named_points import say_names
from landmarks.data.mapped import Arrays, map_faces, to_faces
from landmarks.data.reading import FileReading
from landmarks.errors import UserError, say_count
from landmarks.settings import flat

VERSION = 3
BLOCK = 1024  # annotations turned into arrays at once


@flat
def read_faces(
    root: str | None,
    *,
    train_annotations: TrainingPlace = None,
    train_images: TrainingPlace = None,
    test_annotations: str | None = None,
    test_images: str | None = None,
    keypoints: str | None = None,
    box: str | None = None,
    valid: str | None = None,
    category: str | None = None,
    reading: FileReading,
) -> Faces:
    """Return the faces of a COCO keypoint file, those of one image beside each other.

    Args:
        root: what the other paths start from; None: the working folder, where the part's file is
            named, else the folder data.
        train_annotations, test_annotations: the JSON files; None: annotations/train.json, or
            Roboflow's train/_annotations.coco.json, or the only one of annotations/ with the part
            in its name.
        train_images, test_images: the folders that hold the images; None: found beside them, see
            `landmarks.data.formats.coco_places.find_places`.
        keypoints: the annotations' list that holds the points; None: "keypoints", where there is no
            other such as COCO-WholeBody's "face_kpts".
        box: the annotations' list that holds the box; None: "bbox" or, of "face_kpts", "face_box".
        valid: what is false in annotations whose points are none; None: of "face_kpts",
            "face_valid".
        category: name or id of the faces' category; None: the one that has keypoints.

    A keypoint with v=0 is not labelled. Crowds, other categories and, in training, faces without a
    labelled keypoint are left out. Test faces need no keypoints; a test file without annotations
    stands for its images, one face each. Keypoints are used as they are; boxes, which COCO counts
    from the image's corner, move by the half pixel to its first pixel's centre.

    Raises:
        UserError: if there is no such file, it is malformed, or an image cannot be read.
    """
    part = reading.part
    named = {"train": (train_annotations, train_images), "test": (test_annotations, test_images)}
    base = Path(root if root is not None else "data" if named[part][0] is None else ".")
    path, images = find_places(base, part, *named[part])
    keys = Keys(keypoints, box, valid, category)
    source = {**describe_source(path, VERSION), "part": part, "of": keys}
    arrays = map_faces("coco", source, lambda: _read(path, part, keys), reading)
    return to_faces(arrays, images, str(path), reading, named_by=f"data.{part}_images")


def _read(path: Path, part: str, keys: Keys) -> Iterator[Arrays]:
    file = load(path, keys)
    if file.annotations is None and part == "test":
        yield Arrays(np.array([name for _, name in file.images.values()]), None)
        return
    kept = choose_faces(file, part, keys.category)
    first = next((i for i in kept if file.points(i)), None)  # says what K is
    has_boxes = any(file.box(i) is not None for i in kept)
    names = [] if first is None else _point_names(file, first)
    for start in range(0, len(kept), BLOCK):
        rows = kept[start : start + BLOCK]
        found = None if first is None else np.array([_points(file, i, first) for i in rows])
        yield Arrays(
            np.array([file.image(i)[1] for i in rows]),
            None if found is None else found[:, :, :2],
            np.array([_box(file, i) for i in rows]) if has_boxes else None,
            None if found is None else found[:, :, 2],
            point_names=names,
        )


def _point_names(file: CocoFile, face: int) -> list[str]:
    """Return the names that a face's category gives its points, if it names these points."""
    names = file.category(face).get("keypoints")
    count = len(file.points(face)) // 3
    is_of_them = file.field == "keypoints" and isinstance(names, list) and len(names) == count
    return say_names([str(name) for name in names]) if is_of_them else []


def _points(file: CocoFile, face: int, first: int) -> np.ndarray:
    """Return x, y, v (K, 3) of an annotation, K being that of the annotation `first`."""
    where, count = f"{file.path}, annotations[{face}], {file.field}", len(file.points(first))
    if not file.points(face):
        return np.tile([np.nan, np.nan, 0], (count // 3, 1))
    values = _numbers(file.points(face), where)
    if len(values) == 2 * len(file.category(face).get("keypoints") or ()):
        raise UserError(f"{where}: x, y pairs without v; write x, y, 2 for each point, or 0, 0, 0.")
    if len(values) != count or count % 3:
        raise UserError(
            f"{where}: {say_count(len(values), 'number')}; x, y, v of each point belong here, of "
            f"the same points in every face (annotations[{first}] has "
            f"{say_count(count, 'number')}); of pairs without v, write x, y, 2 for each point."
        )
    places, seen = np.split(values.reshape(-1, 3), [2], axis=1)
    odd = np.flatnonzero(~np.isin(seen, (0, 1, 2)))
    if len(odd):
        raise UserError(
            f"{where}: v of a point is 0, 1 or 2; found {seen[odd[0], 0]:g} behind point {odd[0]}; "
            f"of x, y pairs without v, write x, y, 2 for each point."
        )
    lost = np.flatnonzero((seen[:, 0] > 0) & np.isnan(places).any(axis=1))
    if len(lost):
        raise UserError(f"{where}: point {lost[0]} has no place; its v must be 0 then.")
    return np.hstack([np.where(seen > 0, places, np.nan), seen])


def _box(file: CocoFile, face: int) -> np.ndarray:
    where = f"{file.path}, annotations[{face}], {file.box_field}"
    if file.box(face) is None:
        return np.full(4, np.nan)
    values = _numbers(file.box(face), where)
    if len(values) != 4 or np.isnan(values).any():
        raise UserError(f"{where}: {str(file.box(face))[:60]}; x, y, width and height belong here.")
    x, y, width, height = values
    return np.array([x, y, x + width, y + height]) - 0.5


def _numbers(values: object, where: str) -> np.ndarray:
    """Return a list of numbers as (n,) float64, NaN for null or NaN."""
    if isinstance(values, array):
        return np.array(values)
    if not isinstance(values, list):
        raise UserError(f"{where}: a list of numbers belongs here; found '{str(values)[:40]}'.")
    for value in values:
        is_number = type(value) in (int, float) and not abs(value) > FLOAT32_MAX
        if value is not None and not is_number:
            raise UserError(f"{where}: '{str(value)[:40]}' is not a number.")
    return np.array(values, np.float64)
