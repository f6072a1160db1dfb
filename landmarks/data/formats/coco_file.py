"""A COCO keypoint file in bounded memory: its images, its annotations, and the faces asked for."""

import logging
from array import array
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from landmarks.data.reading.format_signatures import refuse_other
from landmarks.data.reading.json_items import read_members
from landmarks.data.reading.text_fields import parse_name
from landmarks.data.tables.landmarks_csv import FLOAT32_MAX
from landmarks.errors import UserError, did_you_mean, say_count

NUMBERS = {int, float}
NUMBERS_OR_NULL = {*NUMBERS, type(None)}
OWN_IDS = 1 << 62  # texts get numbers from its negative on
log = logging.getLogger(__name__)
BLOCK = 4096  # images or annotations turned into arrays at once


class Keys(NamedTuple):
    """Which of an annotation's values are meant, see `landmarks.data.formats.coco.read_faces`."""

    keypoints: str | None = None
    box: str | None = None
    valid: str | None = None
    category: str | None = None

    @property
    def points(self) -> str:
        """The key of the points."""
        return self.keypoints or "keypoints"

    @property
    def edges(self) -> str:
        """The key of the box."""
        own = self.points.replace("_kpts", "_box") if self.points.endswith("_kpts") else "bbox"
        return self.box or own

    @property
    def truth(self) -> str | None:
        """The key of whether points are any."""
        own = self.points.replace("_kpts", "_valid") if self.points.endswith("_kpts") else None
        return self.valid or own


class Ids:
    """Ids as whole numbers: some tools write 7 here and "7" there."""

    def __init__(self):
        self.texts: dict[str, int] = {}

    def find(self, written: object) -> int | None:
        """Return an id's number; None if it can be none."""
        if type(written) is int and abs(written) < OWN_IDS:
            return written
        if isinstance(written, bool) or not isinstance(written, int | float | str):
            return None
        if isinstance(written, float):
            return self.find(int(written)) if written.is_integer() else None
        text = str(written)
        if text.isascii() and text.removeprefix("-").isdecimal():
            number = int(text) if len(text) < 20 else OWN_IDS
            if str(number) == text and abs(number) < OWN_IDS:
                return number
        return self.texts.setdefault(text, -OWN_IDS - len(self.texts))

    def say(self, number: int | None) -> str:
        """Return an id as text."""
        return next((text for text, own in self.texts.items() if own == number), str(number))


class Annotations:
    """The annotations of a file, n of them, in its order.

    images, categories: (n,) ids of theirs, of categories 0 and on, in the order of `listed`;
    counts: (n,) of the numbers of their points; boxes (n, 4) float32, x0, y0, x1, y1, from the
    first pixel's centre, NaN where `have_boxes` is not; are_crowds, are_labelled: (n,) bool;
    are_faulty: (n,) bool, of those that cannot be a face: `explain` says why. known: all keys.
    """

    def __init__(self, where: str, keys: Keys, ids: Ids, spool: BinaryIO):
        self.where, self.keys, self.ids, self.spool = where, keys, ids, spool
        self.listed: dict[int | None, int] = {}
        self.known: set[str] = set()
        self._images, self._categories, self._counts = array("q"), array("i"), array("i")
        self._boxes, self._flags = array("f"), []
        self._points, self._edges = array("d"), array("d")

    def read(self, items: Iterator[Any]) -> "Annotations":
        """Take all annotations.

        Raises:
            UserError: if one has no image, or something else than a list in the points' place.
        """
        while block := list(islice(items, BLOCK)):
            self._close([self._take(face) for face in block])
        kept = (self._images, self._categories, self._counts, self._boxes)
        self.images, self.categories, self.counts, boxes = (
            np.frombuffer(it, it.typecode) if it else np.zeros(0, it.typecode) for it in kept
        )
        self.boxes = boxes.reshape(-1, 4)
        flags = np.concatenate([np.zeros((0, 4), bool), *self._flags])
        self.are_crowds, self.have_boxes, self.are_faulty, self.are_labelled = flags.T
        self._starts = np.cumsum(self.counts, dtype=np.int64) - self.counts
        return self

    def __len__(self) -> int:
        return len(self._images)

    def points(self, rows: np.ndarray, count: int) -> np.ndarray:
        """Return x, y, v (n, count / 3, 3) float32 of some annotations; NaN, NaN, 0 of those that
        have none."""
        found = np.empty((len(rows), count // 3, 3), np.float32)
        found[:] = np.nan, np.nan, 0
        have = np.flatnonzero(self.counts[rows])
        starts = self._starts[rows[have]]
        for run in np.split(np.arange(len(have)), np.flatnonzero(np.diff(starts) != count) + 1):
            if len(run):
                self.spool.seek(4 * int(starts[run[0]]))
                values = np.frombuffer(self.spool.read(4 * count * len(run)), np.float32)
                found[have[run]] = values.reshape(len(run), -1, 3)
        return found

    def _take(self, face: Any) -> tuple[bool, bool, bool]:
        """Add an annotation; return whether it is a crowd, has a box, and a fault."""
        image = self.ids.find(face.get("image_id")) if isinstance(face, dict) else None
        if image is None:
            raise UserError(f"{self.where}[{len(self)}]: an 'image_id' is missing.")
        self.known.update(face)
        category = self.ids.find(face.get("category_id"))
        is_crowd = bool(face.get("iscrowd"))
        points = face.get(self.keys.points) or []
        if type(points) is not list:
            if not is_crowd:
                raise UserError(
                    f"{self.where}[{len(self)}]: a list belongs in '{self.keys.points}'; found "
                    f"'{str(points)[:40]}'."
                )
            points = []
        if self.keys.truth is not None and not face.get(self.keys.truth, True):
            points = []
        box = face.get(self.keys.edges)
        is_box = box is None or (type(box) is list and len(box) == 4)
        values, are_numbers = _to_numbers(points)
        edges, are_edges = _to_numbers(box if box and is_box else [None] * 4)
        self._points += values
        self._edges += edges
        self._images.append(image)
        self._categories.append(self.listed.setdefault(category, len(self.listed)))
        self._counts.append(len(points))
        return is_crowd, box is not None, not (are_numbers and is_box and are_edges)

    def _close(self, taken: list[tuple[bool, bool, bool]]) -> None:
        """Judge the annotations of a block, and put them away."""
        are_crowds, have_boxes, are_faulty = np.array(taken).T
        counts = np.array(self._counts[-len(taken) :])
        values, corners = np.array(self._points), np.array(self._edges).reshape(-1, 4)
        del self._points[:], self._edges[:]
        x, y, width, height = corners.T
        with np.errstate(over="ignore", invalid="ignore"):  # of numbers that are refused below
            boxes = np.stack([x, y, x + width, y + height], axis=1) - 0.5
            self._boxes.frombytes(boxes.astype(np.float32).tobytes())
        are_faulty |= have_boxes & ~(np.abs(boxes) <= FLOAT32_MAX).all(axis=1)

        owners = np.repeat(np.arange(len(taken)), counts)
        are_whole = counts % 3 == 0
        triples = values[are_whole[owners]].reshape(-1, 3)
        each = owners[are_whole[owners]][::3]
        x, y, seen = triples.T
        are_odd = ~((seen == 0) | (seen == 1) | (seen == 2))
        are_odd |= (seen > 0) & (np.isnan(x) | np.isnan(y))
        are_odd |= (np.abs(triples) > FLOAT32_MAX).any(axis=1)
        are_labelled = np.bincount(each, seen != 0, len(taken)) > 0
        are_faulty |= ~are_whole | (np.bincount(each, are_odd, len(taken)) > 0)
        are_labelled |= ~are_whole  # so that they are asked about
        triples[seen == 0, :2] = np.nan
        values[are_whole[owners]] = triples.ravel()
        with np.errstate(over="ignore"):
            self.spool.write(values.astype(np.float32).tobytes())
        self._flags.append(np.stack([are_crowds, have_boxes, are_faulty, are_labelled], axis=1))


def _to_numbers(written: list) -> tuple[array, bool]:
    """Return numbers, NaN for what is none, and whether all are, or null."""
    kinds = {*map(type, written)}
    if not kinds <= NUMBERS:
        written = [it if type(it) in NUMBERS else np.nan for it in written]
    try:
        return array("d", written), kinds <= NUMBERS_OR_NULL
    except OverflowError:  # a whole number beyond float64
        return array("d", [np.nan] * len(written)), False


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
