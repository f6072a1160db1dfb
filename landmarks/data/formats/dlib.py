"""`data=dlib`: dlib's XML, as imglab writes it; one face a box, with its parts."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

import numpy as np

from landmarks.data.cache_folder import describe_source
from landmarks.data.faces import Faces, TrainingPath
from landmarks.data.fields import parse_name, parse_numbers
from landmarks.data.mapped import Arrays, map_faces, to_faces
from landmarks.data.reading import FileReading
from landmarks.data.recognise import describe_other, refuse_other
from landmarks.data.text_file import refuse_binary
from landmarks.errors import UserError
from landmarks.settings import flat

log = logging.getLogger(__name__)
VERSION = 1
BLOCK = 1024  # faces turned into arrays at once
CHUNK = 1 << 16  # bytes parsed at once
EDGES = ("left", "top", "width", "height")


class Box(NamedTuple):
    """A box of an image: line and attributes, and of each part by its name the same."""

    line: int
    image: bytes
    written: dict[str, str]
    parts: dict[str, tuple[int, dict[str, str]]]


@flat
def read_faces(
    train: TrainingPath, test: str, *, images: str | None = None, reading: FileReading
) -> Faces:
    """Return the faces of a file of dlib's imglab, one a box, in the file's order.

    Args:
        train, test: the XML files; that of `test` need hold no parts.
        images: the folder that file names start from; None: the file's own.

    Points are the parts, in the order of their numbers; parts with other names are in the order in
    which the file has them first, and `point_names` are these. A part that a box lacks is missing.
    Boxes with ignore='1' and, in training, boxes without parts are left out.

    Raises:
        UserError: if there is no such file, it is malformed, or an image cannot be read.
    """
    part = reading.part
    path = Path(train if part == "train" else test)
    if not path.is_file():
        there = describe_other(path, "")
        raise UserError(f"There is no file {path}: {there or f'set data.{part}=FILE.'}")
    refuse_other(path, "dlib")
    names = _find_parts(path)
    source = {**describe_source(path, VERSION), "part": part}
    arrays = map_faces("dlib", source, lambda: _read(path, part, names), reading)
    faces = to_faces(arrays, path.parent if images is None else Path(images), str(path), reading)
    return replace(faces, point_names=[] if _are_numbers(names) else names)


def _find_parts(path: Path) -> list[str]:
    """Return the names of all parts of a file, in their order."""
    names = list(dict.fromkeys(name for box in _boxes(path) for name in box.parts))
    return sorted(names, key=int) if _are_numbers(names) else names


def _are_numbers(names: list[str]) -> bool:
    return all(name.isdecimal() for name in names)


def _read(path: Path, part: str, names: list[str]) -> Iterator[Arrays]:
    left = total = 0
    boxes = _boxes(path)
    while block := list(islice(boxes, BLOCK)):
        total += len(block)
        kept = [b for b in block if b.written.get("ignore") != "1" and (b.parts or part == "test")]
        left += len(block) - len(kept)
        if kept:
            yield _to_arrays(path, kept, names)
    if total == left:
        raise UserError(f"{path}: none of its {total} boxes is a face: a box with parts is one.")
    if left:
        log.warning(f"Left out {left} of {total} boxes of {path}: ignored, or without parts.")


def _to_arrays(path: Path, boxes: list[Box], names: list[str]) -> Arrays:
    nowhere = {"x": "", "y": ""}
    parts = [(b.line, name, *b.parts.get(name, (b.line, nowhere))) for b in boxes for name in names]
    fields = [place.get(axis, "none") for _, _, _, place in parts for axis in "xy"]
    points = parse_numbers(
        fields,
        lambda i: f"{path}, line {parts[i // 2][2]}, part '{parts[i // 2][1]}', {'xy'[i % 2]}",
    )
    edges = parse_numbers(
        [box.written.get(edge, "none") for box in boxes for edge in EDGES],
        lambda i: f"{path}, line {boxes[i // 4].line}, {EDGES[i % 4]} of the box",
    ).reshape(-1, 4)
    # The box holds whole pixels, from the edge of its first to that of its last.
    points[np.isnan(points).reshape(-1, 2).any(axis=1).repeat(2)] = np.nan
    corners = np.concatenate([edges[:, :2], edges[:, :2] + edges[:, 2:]], axis=1) - 0.5
    shaped = points.reshape(len(boxes), -1, 2) if names else None
    return Arrays(np.array([box.image for box in boxes]), shaped, corners.astype(np.float32))


def _boxes(path: Path) -> Iterator[Box]:
    """Yield the boxes of a file, in bounded memory."""
    refuse_binary(path)
    found: list[Box] = []
    parser = expat.ParserCreate()
    parser.StartElementHandler = _make_handler(path, parser, found)
    with path.open("rb") as file:
        try:
            while chunk := file.read(CHUNK):
                parser.Parse(chunk)
                yield from found[:-1]  # the last may go on
                del found[:-1]
            parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise UserError(
                f"{path}, line {error.lineno}: not XML ({expat.ErrorString(error.code)})."
            ) from error
    yield from found


def _make_handler(path: Path, parser: expat.XMLParserType, found: list[Box]) -> Callable:
    """Return what takes the start of each element, and adds boxes to `found`."""
    image = b""

    def take(tag: str, written: dict[str, str]) -> None:
        nonlocal image
        line = parser.CurrentLineNumber
        if tag == "image":
            image = parse_name(written.get("file", ""), f"{path}, line {line}")
        elif tag == "box":
            if not image:
                raise UserError(f"{path}, line {line}: a box belongs inside of an image.")
            found.append(Box(line, image, written, {}))
        elif tag == "part":
            name = written.get("name", "")
            if not found or not name or name in found[-1].parts:
                raise UserError(
                    f"{path}, line {line}: a part has a name of its own, and belongs inside of a "
                    f"box; found '{name[:40]}'."
                )
            found[-1].parts[name] = line, written

    return take
