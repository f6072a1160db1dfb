"""Faces whose points were drawn one by one and named, as labelling tools keep them.

A tool knows shapes on an image, each with a label, and boxes. Here they become faces: shapes of one
group are one face; their labels, the names of its points.
"""

import logging
import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal, NamedTuple

import numpy as np

from landmarks.data.caches.mapped_faces import Arrays
from landmarks.data.reading.text_fields import NO_VALUE
from landmarks.data.tables.landmarks_csv import FLOAT32_MAX, refuse_field
from landmarks.errors import UserError, say_count

NUMBERED = re.compile(r"(.*?)(\d+)", re.DOTALL)
DIGITS = re.compile(r"(\d+)")
log = logging.getLogger(__name__)
BLOCK = 1024  # faces turned into arrays at once
Place = tuple[float, float]


def order_names(names: Iterable[str]) -> list[str]:
    """Return names in the order of letters, and of numbers in them.

    The order in which a file happens to have them would differ between a set's parts.
    """
    return sorted(names, key=lambda name: [_key(part) for part in DIGITS.split(name)])


def _key(text: str) -> tuple[int, str]:
    if not text.isdecimal():
        return -1, text
    number = text.lstrip("0")
    return len(number), number  # as numbers are ordered, of any length


def say_names(names: list[str]) -> list[str]:
    """Return what `Faces.point_names` are: none where names count the points, or two are one.

    Points are counted from 0 or 1. Of 0, 1, 7 each is a name: 7 is not the point 2 of other files.
    """
    if len({*names}) < len(names):
        return []
    if not are_numbers(names):
        return names
    counted = [NUMBERED.fullmatch(name)[2].lstrip("0") or "0" for name in names]
    in_turn = [str(number) for number in range(len(names) + 1)]
    return [] if counted in (in_turn[:-1], in_turn[1:]) else names


def are_numbers(names: Iterable[str]) -> bool:
    """Return whether all names are numbers behind one word, or none: 0, 1, 7 or p0, p1, p7."""
    found = [NUMBERED.fullmatch(name) for name in names]
    return bool(found) and None not in found and len({it[1] for it in found}) == 1


class Shape(NamedTuple):
    """What was drawn at once: its label, the group it belongs to (None: to none), its points, where
    it stands in the file, and whether the tool says that it is occluded; None: it does not say."""

    label: str
    group: Hashable
    points: list[Place]
    where: str
    is_occluded: bool | None = None


class Box(NamedTuple):
    """A box that was drawn, its group, x0, y0, x1, y1, and where it stands in the file."""

    group: Hashable
    edges: tuple[float, float, float, float]
    where: str


@dataclass
class Face:
    """A face: its image, its points by name, its box, whether it is to be left out, and which
    points are occluded, of those of which it is known."""

    image: bytes
    places: dict[str, Place] = field(default_factory=dict)
    box: tuple[float, float, float, float] | None = None
    is_ignored: bool = False
    occluded: dict[str, bool] = field(default_factory=dict)


def gather_faces(
    image: bytes, shapes: list[Shape], boxes: list[Box], counts: dict[str, tuple[int, str]]
) -> list[Face]:
    """Return the faces of an image.

    Shapes of one group are a face. Others are one face together or, where each of them has several
    points and all have one label, a face each; or they belong to the box that they lie in.

    Args:
        counts: how many points each label has had so far, and where; it is added to.

    Raises:
        UserError: if it cannot be told which points are one face's.
    """
    for drawn in (*shapes, *boxes):
        if isinstance(drawn.group, list | dict):
            raise UserError(
                f"{drawn.where}: its group is '{str(drawn.group)[:40]}'; "
                f"a number or a text belongs there."
            )
    for shape in shapes:
        count, where = counts.setdefault(shape.label, (len(shape.points), shape.where))
        if count != len(shape.points):
            raise UserError(
                f"{shape.where}: '{shape.label}' has {say_count(len(shape.points), 'point')} where "
                f"that of {where} has {count}; all faces need the same points."
            )
    groups: dict[Hashable, list[Shape]] = {}
    for shape in shapes:
        groups.setdefault(("group", shape.group) if shape.group is not None else None, []).append(
            shape
        )
    loose = groups.pop(None, [])
    known = {shape.group for shape in shapes}
    boxes = [box if box.group in known else box._replace(group=None) for box in boxes]
    faces = [(group, _join(image, members)) for group, members in groups.items()]
    faces += [(None, face) for face in _part_loose(image, loose, boxes)]
    for group, face in faces:
        face.box = _find_box(face, group, boxes, len(faces) == 1)
    return [face for _, face in faces]


def _part_loose(image: bytes, shapes: list[Shape], boxes: list[Box]) -> list[Face]:
    """Return the faces of shapes that belong to no group."""
    if not shapes:
        return []
    labels = {shape.label for shape in shapes}
    if len(labels) == len(shapes):
        return [_join(image, shapes)]
    if len(labels) == 1 and len(shapes[0].points) > 1:
        return [_join(image, [shape]) for shape in shapes]
    parted: dict[int, list[Shape]] = {}
    for shape in shapes:
        inside = [i for i, box in enumerate(boxes) if all(_holds(box, it) for it in shape.points)]
        if len(inside) != 1:
            parted = {}
            break
        parted.setdefault(inside[0], []).append(shape)
    if not parted or any(len({it.label for it in some}) < len(some) for some in parted.values()):
        twice = next(it for i, it in enumerate(shapes) if it.label in {s.label for s in shapes[:i]})
        raise UserError(
            f"{twice.where}: '{twice.label}' stands twice in the image '{image.decode()}', and "
            f"nothing says which points are one face's; group each face's points in the tool, draw "
            f"a box about each face, or give each point a label of its own."
        )
    return [_join(image, some) for some in parted.values()]


def _join(image: bytes, shapes: list[Shape]) -> Face:
    face = Face(image)
    for shape in shapes:
        is_one = len(shape.points) == 1
        for i, place in enumerate(shape.points):
            name = shape.label if is_one else f"{shape.label}_{i}"
            if name in face.places:
                raise UserError(
                    f"{shape.where}: '{shape.label}' stands twice in one group of the image "
                    f"'{image.decode()}'; a face has each of its points once."
                )
            face.places[name] = place
            if shape.is_occluded is not None:
                face.occluded[name] = shape.is_occluded
    return face


def _find_box(face: Face, group: Hashable, boxes: list[Box], is_alone: bool) -> tuple | None:
    """Return the box of a face's group; else an image's only one, if the face is alone there; else
    the smallest of those that hold most of its points."""
    own = [box.edges for box in boxes if group is not None and ("group", box.group) == group]
    loose = [box for box in boxes if box.group is None]
    if own or (is_alone and len(loose) == 1):
        return own[0] if own else loose[0].edges
    held = [(sum(_holds(box, it) for it in face.places.values()), box.edges) for box in loose]
    fitting = [(count, it) for count, it in held if 2 * count > len(face.places)]
    fitting.sort(key=lambda it: (-it[0], (it[1][2] - it[1][0]) * (it[1][3] - it[1][1])))
    return fitting[0][1] if fitting else None


def _holds(box: Box, place: Place) -> bool:
    x, y = place
    x0, y0, x1, y1 = box.edges
    return not (x < x0 or x > x1 or y < y0 or y > y1)  # a missing point lies anywhere


def read_faces_named(
    source: str, faces: Callable[[], Iterable[Face]], part: Literal["train", "test"], what: str
) -> Iterator[Arrays]:
    """Yield the arrays of faces, block by block; the faces are read twice.

    Args:
        source: what they are read from, for messages.
        faces: reads them. Ignored ones and, in training, those without points are left out, with a
            warning.
        what: what a face is in the source, one of several, "box".

    Raises:
        UserError: if none is left.
    """
    kept_of_all = _look_through(faces())
    left = total = 0
    read = iter(faces())
    while block := list(islice(read, BLOCK)):
        total += len(block)
        kept = [it for it in block if not it.is_ignored and (it.places or part == "test")]
        left += len(block) - len(kept)
        if kept:
            yield _to_arrays(kept, *kept_of_all)
    if total == left:
        raise UserError(
            f"{source}: none of its {say_count(total, what)} is a face: one with points is."
        )
    if left:
        log.warning(
            f"Left out {left} of {say_count(total, what)} of {source}: ignored, or without points."
        )


def _look_through(faces: Iterable[Face]) -> tuple[list[str], bool, bool]:
    """Return the names of all points, in order, and whether a face has a box, or a point that is
    said to be occluded or not."""
    names: dict[str, None] = {}
    has_boxes = has_occluded = False
    for face in faces:
        if not face.is_ignored:
            names.update(dict.fromkeys(face.places))
        has_boxes = has_boxes or face.box is not None
        has_occluded = has_occluded or bool(face.occluded)
    return order_names(names), has_boxes, has_occluded


def _to_arrays(faces: list[Face], names: list[str], has_boxes: bool, has_occluded: bool) -> Arrays:
    nowhere, boxless = (np.nan, np.nan), (np.nan,) * 4
    places = [face.places.get(name, nowhere) for face in faces for name in names]
    points = np.array(places, np.float64).reshape(len(faces), -1, 2)
    points[np.isnan(points).any(axis=2)] = np.nan
    boxes = np.array([face.box or boxless for face in faces], np.float64)
    seen = None
    if has_occluded and names:
        hidden = [face.occluded.get(name, False) for face in faces for name in names]
        seen = np.where(hidden, 1, 2).reshape(len(faces), -1)
        seen[np.isnan(points[:, :, 0])] = 0
    return Arrays(
        np.array([face.image for face in faces]),
        points.astype(np.float32) if names else None,
        boxes.astype(np.float32) if has_boxes else None,
        seen,
        say_names(names),
    )


def parse_number(text: str | None, where: str) -> float:
    """Return the number in a text, NaN where it is empty or says so.

    Raises:
        UserError: starting with `where`, if there is none.
    """
    written = "none" if text is None else text.strip()
    if written in NO_VALUE:
        return np.nan
    if written.isascii() and "_" not in written:  # float() accepts underscores and other digits
        try:
            value = float(written)
            if abs(value) <= FLOAT32_MAX:
                return value
        except ValueError:
            pass
    refuse_field(written, where)
    return float(written)


def take_number(value: object, where: str) -> float:
    """Return a number of JSON, NaN for null; what is no number is refused, naming `where`."""
    if value is None:
        return np.nan
    is_number = type(value) in (int, float) and not abs(value) > FLOAT32_MAX
    if not is_number:
        raise UserError(f"{where}: a number belongs here; found '{str(value)[:40]}'.")
    return float(value)
