"""A COCO keypoint file: what it lists, and which of its annotations are the faces asked for."""

import logging
from array import array
from collections import Counter
from collections.abc import Hashable
from pathlib import Path
from typing import NamedTuple

from landmarks.data.fields import parse_name
from landmarks.data.formats.json_items import read_json
from landmarks.data.formats.landmarks_csv import FLOAT32_MAX
from landmarks.data.recognise import refuse_other
from landmarks.errors import UserError, did_you_mean, say_count

log = logging.getLogger(__name__)
MIN_SHRUNK = 8  # numbers of a list, more than a box has


class Keys(NamedTuple):
    """Which of an annotation's values are meant, see `landmarks.data.formats.coco.read_faces`."""

    keypoints: str | None = None
    box: str | None = None
    valid: str | None = None
    category: str | None = None


class CocoFile(NamedTuple):
    """The content of a file, checked as far as every annotation needs it.

    images: id -> (place in the file, name); annotations: of known images, None where the file has
    no such list; categories: id -> category; field, box_field, valid_field: the annotations' keys
    of the points, the box, and whether the points are any.
    """

    path: Path
    images: dict[str, tuple[int, bytes]]
    annotations: list[dict] | None
    categories: dict[Hashable, dict]
    field: str
    box_field: str
    valid_field: str | None

    def image(self, face: int) -> tuple[int, bytes]:
        """Return the place and name of a face's image."""
        return self.images[_key(self.annotations[face]["image_id"])]

    def box(self, face: int) -> list | None:
        """Return a face's box as it is written, x, y, width, height."""
        return self.annotations[face].get(self.box_field)

    def category(self, face: int) -> dict:
        """Return a face's category, empty where it has none."""
        return self.categories.get(_key(self.annotations[face].get("category_id")), {})

    def points(self, face: int) -> list:
        """Return a face's points as they are written, x, y, v, x, ...; empty where it has none."""
        points = self.annotations[face].get(self.field) or []
        if not isinstance(points, list | array):
            raise UserError(
                f"{self.path}, annotations[{face}]: a list belongs in '{self.field}'; found "
                f"'{str(points)[:40]}'."
            )
        is_valid = self.valid_field is None or self.annotations[face].get(self.valid_field, True)
        return points if is_valid else []


def load(path: Path, keys: Keys) -> CocoFile:
    """Return a file's content.

    Args:
        path: of the JSON file.
        keys: which of the annotations' values are meant.

    Raises:
        UserError: if the file is malformed, or it is not known which points are meant.
    """
    try:
        content = read_json(path, _shrink)
    except UserError:
        refuse_other(path, "coco")
        raise
    lists = [content.get(k) for k in ("images", "annotations")] if isinstance(content, dict) else []
    if not lists or not isinstance(lists[0], list) or not isinstance(lists[1] or [], list):
        refuse_other(path, "coco")
        raise UserError(f"{path}: lists 'images' and 'annotations' belong at its top.")
    images: dict[str, tuple[int, bytes]] = {}
    for i, image in enumerate(lists[0]):
        where = f"{path}, images[{i}]"
        if not isinstance(image, dict) or not isinstance(image.get("file_name"), str):
            raise UserError(f"{where}: a 'file_name' is missing.")
        if _key(image.get("id")) is None or _key(image["id"]) in images:
            raise UserError(f"{where}: an 'id' of its own is missing.")
        images[_key(image["id"])] = i, parse_name(image["file_name"], where)
    for i, face in enumerate(lists[1] or []):
        where = f"{path}, annotations[{i}]"
        if not isinstance(face, dict) or _key(face.get("image_id")) is None:
            raise UserError(f"{where}: an 'image_id' is missing.")
        if _key(face["image_id"]) not in images:
            raise UserError(f"{where}: there is no image with the id {face['image_id']}.")
    listed = content.get("categories") or []
    categories = {_key(one["id"]): one for one in listed if isinstance(one, dict) and "id" in one}
    field = _find_field(path, lists[1] or [], keys.keypoints)
    box, valid = _find_beside(path, lists[1] or [], field, keys)
    return CocoFile(path, images, lists[1], categories, field, box, valid)


def choose_faces(file: CocoFile, part: str, category: str | None) -> list[int]:
    """Return which annotations are faces, image by image as the file has its images.

    A file may list faces in any order; those of one image must not be parted by a split in blocks.

    Args:
        part: "train" leaves out what has no labelled point, and says how many.
        category: name or id of the faces'; None: that of all annotations with points.

    Raises:
        UserError: if there are no faces, or points of several categories.
    """
    annotations = file.annotations or []
    rows = [i for i, face in enumerate(annotations) if not face.get("iscrowd")]
    labelled = [i for i in rows if any(file.points(i)[2::3])]
    wanted = _find_categories(file, labelled or rows, category)
    among = labelled if part == "train" else rows
    kept = [i for i in among if _key(annotations[i].get("category_id")) in wanted]
    if annotations and not kept:
        raise UserError(
            f"{file.path}: none of its {say_count(len(annotations), 'annotation')} holds a "
            f"labelled point in '{file.field}' (x, y, v with v above 0)."
        )
    _say_left_out(file, part, kept, wanted)
    return sorted(kept, key=lambda i: file.image(i)[0])


def _say_left_out(file: CocoFile, part: str, kept: list[int], wanted: set) -> None:
    """Log how many annotations are no faces, by what they are."""
    counts: Counter = Counter()
    taken = {*kept}
    for i, face in enumerate(file.annotations or []):
        if i in taken:
            continue
        is_wanted = _key(face.get("category_id")) in wanted
        unlabelled = "without a labelled keypoint" if part == "train" else "of no face"
        crowd = "a crowd" if face.get("iscrowd") else ""
        counts[crowd or (unlabelled if is_wanted else "of another category")] += 1
    if counts:
        listed = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
        log.warning(
            f"Left out {counts.total()} of {say_count(len(file.annotations), 'annotation')} of "
            f"{file.path}: {listed}."
        )


def _shrink(content: dict) -> dict:
    """Return an object of the file with long lists of numbers as arrays, a tenth of their memory,
    and without outlines, which say nothing of points."""
    content.pop("segmentation", None)
    for key, value in content.items():
        if type(value) is list and len(value) > MIN_SHRUNK and type(value[0]) in (int, float):
            is_plain = all(type(it) is int or type(it) is float for it in value)
            if is_plain and all(abs(it) <= FLOAT32_MAX or it != it for it in value):
                content[key] = array("d", value)
    return content


def _find_beside(
    path: Path, annotations: list[dict], field: str, keys: Keys
) -> tuple[str, str | None]:
    """Return the annotations' keys of the box and of whether the points of `field` are any."""
    is_own = field.endswith("_kpts")
    box = keys.box or (field.replace("_kpts", "_box") if is_own else "bbox")
    valid = keys.valid or (field.replace("_kpts", "_valid") if is_own else None)
    for key, setting in ((keys.box, "box"), (keys.valid, "valid")):
        if key is not None and not any(key in face for face in annotations):
            there = sorted({name for face in annotations for name in face})
            raise UserError(
                f"{path}: no annotation has '{key}' (data.{setting}); there is "
                f"{', '.join(there)}.{did_you_mean(key, there)}"
            )
    return box, valid


def _key(number: object) -> str | None:
    """Return an id as text: some tools write 7 here and "7" there; None if it can be none."""
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    return str(number) if isinstance(number, int | str) and not isinstance(number, bool) else None


def _find_field(path: Path, annotations: list[dict], wanted: str | None) -> str:
    there = sorted({key for face in annotations for key in face if key.endswith("_kpts")})
    known = ["keypoints", *there]
    if wanted is not None:
        if not any(wanted in face for face in annotations):
            raise UserError(
                f"{path}: no annotation has '{wanted}' (data.keypoints); there is "
                f"{', '.join(known)}.{did_you_mean(wanted, known)}"
            )
        return wanted
    if there:
        raise UserError(
            f"{path}: the annotations hold several lists of points ({', '.join(known)}); name that "
            f"of the face: data.keypoints={'face_kpts' if 'face_kpts' in there else 'NAME'}."
        )
    return "keypoints"


def _find_categories(file: CocoFile, rows: list[int], wanted: str | None) -> set[str | None]:
    """Return the ids of the faces' categories, of those that annotations in `rows` have."""
    used = dict.fromkeys(_key(file.annotations[i].get("category_id")) for i in rows)
    names = {one: str(file.categories.get(one, {}).get("name", one)) for one in used}
    if wanted is not None:
        chosen = {one for one in used if wanted in (names[one], one)}
        if not chosen:
            raise UserError(
                f"{file.path}: no annotation is of the category '{wanted}' (data.category); there "
                f"is {', '.join(names.values())}.{did_you_mean(wanted, names.values())}"
            )
        return chosen
    points = {one: file.categories.get(one, {}).get("keypoints") or () for one in used}
    pointed = [one for one in used if points[one]] or list(used)
    if len(pointed) > 1 and len({tuple(points[one]) or one for one in pointed}) > 1:
        raise UserError(
            f"{file.path}: annotations of several categories have points "
            f"({', '.join(names[one] for one in pointed)}); name the faces' with "
            f"data.category={names[pointed[0]]}."
        )
    return set(pointed)
