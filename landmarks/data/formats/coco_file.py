"""A COCO keypoint file: what it lists, and which of its annotations are the faces asked for."""

import logging
from array import array
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from landmarks.data.formats.coco_annotations import Annotations, Ids, Keys
from landmarks.data.reading.format_signatures import refuse_other
from landmarks.data.reading.json_items import read_members
from landmarks.data.reading.text_fields import parse_name
from landmarks.errors import UserError, did_you_mean, say_count

log = logging.getLogger(__name__)
BLOCK = 4096  # images at once


class Images(NamedTuple):
    """The images of a file: their ids (N,) and names (N,) bytes, in its order."""

    ids: np.ndarray
    names: np.ndarray


class CocoFile(NamedTuple):
    """The content of a file.

    annotations: None where it has no such list; places: (n,) of their images; categories: those of
    `annotations.categories`, empty where one is not listed.
    """

    path: Path
    images: Images
    annotations: Annotations | None
    places: np.ndarray
    categories: list[dict]


def load(path: Path, keys: Keys, spool: BinaryIO) -> CocoFile:
    """Return a file's content.

    Args:
        path: of the JSON file.
        keys: which of the annotations' values are meant.
        spool: a file to keep the points in.

    Raises:
        UserError: if the file is malformed, or it is not known which points are meant.
    """
    ids = Ids()
    annotations = Annotations(f"{path}, annotations", keys, ids, spool)
    takers = {
        "images": lambda items: _read_images(path, items, ids),
        "annotations": annotations.read,
        "categories": list,
    }
    try:
        content = read_members(path, takers)
    except UserError:
        refuse_other(path, "coco")
        raise
    images, found = content.get("images"), content.get("annotations")
    if not isinstance(images, Images) or not isinstance(found, Annotations | None):
        refuse_other(path, "coco")
        raise UserError(f"{path}: lists 'images' and 'annotations' belong at its top.")
    places = np.zeros(0, np.int64) if found is None else _find_places(path, images, found)
    listed = content.get("categories") or []
    known = {ids.find(it["id"]): it for it in listed if isinstance(it, dict) and "id" in it}
    categories = [known.get(one, {}) for one in annotations.listed]
    if found is not None:
        _refuse_doubtful(path, found)
    return CocoFile(path, images, found, places, categories)


def _read_images(path: Path, items: Iterator[Any], ids: Ids) -> Images:
    numbers, names = array("q"), []
    while block := list(islice(items, BLOCK)):
        encoded = []
        for image in block:
            where = f"{path}, images[{len(numbers)}]"
            if not isinstance(image, dict) or not isinstance(image.get("file_name"), str):
                raise UserError(f"{where}: a 'file_name' is missing.")
            number = ids.find(image.get("id"))
            if number is None:
                raise UserError(f"{where}: an 'id' of its own is missing.")
            numbers.append(number)
            encoded.append(parse_name(image["file_name"], where))
        names.append(np.array(encoded))
    found = np.array(numbers, np.int64)
    order = np.argsort(found, kind="stable")
    twins = order[1:][np.diff(found[order]) == 0]
    if len(twins):
        raise UserError(f"{path}, images[{twins.min()}]: an 'id' of its own is missing.")
    return Images(found, np.concatenate(names) if names else np.zeros(0, "S1"))


def _find_places(path: Path, images: Images, annotations: Annotations) -> np.ndarray:
    """Return the places (n,) of the annotations' images in the list of these."""
    order = np.argsort(images.ids, kind="stable")
    at = np.searchsorted(images.ids, annotations.images, sorter=order)
    places = order[at.clip(max=len(order) - 1)] if len(order) else at
    are_lost = images.ids[places] != annotations.images if len(order) else np.ones(len(at), bool)
    if are_lost.any():
        face = int(np.argmax(are_lost))
        number = annotations.ids.say(int(annotations.images[face]))
        raise UserError(f"{path}, annotations[{face}]: there is no image with the id {number}.")
    return places


def _refuse_doubtful(path: Path, annotations: Annotations) -> None:
    """Raise UserError if it is not known which points are meant, or a named key is nowhere."""
    keys, there = annotations.keys, annotations.known
    others = sorted(key for key in there if key.endswith("_kpts"))
    known = ["keypoints", *others]
    if keys.keypoints is None and others:
        raise UserError(
            f"{path}: the annotations hold several lists of points ({', '.join(known)}); name that "
            f"of the face: data.keypoints={'face_kpts' if 'face_kpts' in others else 'NAME'}."
        )
    if keys.keypoints is not None and keys.keypoints not in there:
        raise UserError(
            f"{path}: no annotation has '{keys.keypoints}' (data.keypoints); there is "
            f"{', '.join(known)}.{did_you_mean(keys.keypoints, known)}"
        )
    for key, setting in ((keys.box, "box"), (keys.valid, "valid")):
        if key is not None and key not in there:
            raise UserError(
                f"{path}: no annotation has '{key}' (data.{setting}); there is "
                f"{', '.join(sorted(there))}.{did_you_mean(key, there)}"
            )


def choose_faces(file: CocoFile, part: str, category: str | None) -> np.ndarray:
    """Return which annotations (n,) are faces, image by image as the file has its images.

    A file may list faces in any order; those of one image must stay together in a split by blocks.

    Args:
        part: "train" leaves out what has no labelled point, and says how many.
        category: name or id of the faces'; None: that of all annotations with points.

    Raises:
        UserError: if there are no faces, or points of several categories.
    """
    them = file.annotations
    rows = np.flatnonzero(~them.are_crowds)
    labelled = rows[them.are_labelled[rows]]
    used = them.categories[labelled if len(labelled) else rows]
    _, first = np.unique(used, return_index=True)
    wanted = _find_categories(file, used[np.sort(first)].tolist(), category)
    among = labelled if part == "train" else rows
    kept = among[np.isin(them.categories[among], wanted)]
    if len(them) and not len(kept):
        raise UserError(
            f"{file.path}: none of its {say_count(len(them), 'annotation')} holds a labelled point "
            f"in '{them.keys.points}' (x, y, v with v above 0)."
        )
    _say_left_out(file, part, kept, wanted)
    return kept[np.argsort(file.places[kept], kind="stable")]


def _say_left_out(file: CocoFile, part: str, kept: np.ndarray, wanted: list[int]) -> None:
    """Log how many annotations are no faces, by what they are."""
    them = file.annotations
    are_out = np.ones(len(them), bool)
    are_out[kept] = False
    are_wanted = np.isin(them.categories, wanted)
    unlabelled = "without a labelled keypoint" if part == "train" else "of no face"
    what = {
        "a crowd": them.are_crowds,
        "of another category": ~them.are_crowds & ~are_wanted,
        unlabelled: ~them.are_crowds & are_wanted,
    }
    counts = {name: np.count_nonzero(are_such & are_out) for name, are_such in what.items()}
    if any(counts.values()):
        listed = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()) if count)
        log.warning(
            f"Left out {sum(counts.values())} of {say_count(len(are_out), 'annotation')} of "
            f"{file.path}: {listed}."
        )


def _find_categories(file: CocoFile, used: list[int], wanted: str | None) -> list[int]:
    """Return the faces' categories, of those that are used."""
    ids = [file.annotations.ids.say(one) for one in file.annotations.listed]
    names = {one: str(file.categories[one].get("name", ids[one])) for one in used}
    if wanted is not None:
        chosen = [one for one in used if wanted in (names[one], ids[one])]
        if not chosen:
            raise UserError(
                f"{file.path}: no annotation is of the category '{wanted}' (data.category); there "
                f"is {', '.join(names.values())}.{did_you_mean(wanted, names.values())}"
            )
        return chosen
    points = {one: point_names(file.categories[one]) for one in used}
    pointed = [one for one in used if points[one]] or used
    if len(pointed) > 1 and len({tuple(points[one]) or one for one in pointed}) > 1:
        raise UserError(
            f"{file.path}: annotations of several categories have points "
            f"({', '.join(names[one] for one in pointed)}); name the faces' with "
            f"data.category={names[pointed[0]]}."
        )
    return pointed


def point_names(category: dict) -> list:
    """Return the names that a category gives its points; none if it gives none."""
    names = category.get("keypoints")
    return names if isinstance(names, list) else []
