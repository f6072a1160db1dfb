"""The annotations of a COCO file as arrays, their points in a temporary file: bounded memory."""

from array import array
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from landmarks.data.tables.landmarks_csv import FLOAT32_MAX
from landmarks.errors import UserError

BLOCK = 4096  # annotations turned into arrays at once
NUMBERS = {int, float}
NUMBERS_OR_NULL = {*NUMBERS, type(None)}
OWN_IDS = 1 << 62  # texts get numbers from its negative on


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
