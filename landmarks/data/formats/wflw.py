"""`data=wflw`: WFLW's lists, 98 points and a box a face, several faces an image."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from landmarks.data.caches.cache_folder import describe_source
from landmarks.data.caches.mapped_faces import Arrays, map_faces, to_faces
from landmarks.data.faces import Faces
from landmarks.data.reading.format_signatures import refuse_near, refuse_other
from landmarks.data.reading.reader_arguments import FileReading
from landmarks.data.reading.text_fields import parse_name, parse_numbers
from landmarks.data.reading.text_file import refuse_binary
from landmarks.errors import UserError
from landmarks.settings import flat

VERSION = 2
BLOCK = 1024  # lines parsed at once
POINTS, BOX, ATTRIBUTES = 98, 4, 6
NUMBERS = 2 * POINTS + BOX
ATTRIBUTE_NAMES = ("pose", "expression", "illumination", "make-up", "occlusion", "blur")
FIELDS = NUMBERS + ATTRIBUTES + 1  # the last is the image's name
LISTS = "list_98pt_rect_attr_train_test"


@flat
def read_faces(root: str, *, reading: FileReading) -> Faces:
    """Return the faces of a WFLW list, in its order, with their boxes.

    Args:
        root: holds WFLW_images/ and, itself or in WFLW_annotations/,
            list_98pt_rect_attr_train_test/list_98pt_rect_attr_train.txt and ..._test.txt.

    Points and boxes are used as they are: the first pixel's centre is (0, 0).

    Raises:
        UserError: if there is no such list, it is malformed, or an image cannot be read.
    """
    base, file = Path(root), f"list_98pt_rect_attr_{reading.part}.txt"
    places = [base / "WFLW_annotations" / LISTS / file, base / LISTS / file, base / file]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        refuse_near(base, "WFLW_images", f"WFLW_annotations/{LISTS}", LISTS)
        refuse_other(base, "wflw")
        raise UserError(
            f"There is no {file} in '{root}': looked for there, in {LISTS}/ and in "
            f"WFLW_annotations/{LISTS}/; set data.root=FOLDER."
        )
    source = describe_source(path, VERSION)
    arrays = map_faces("wflw", source, lambda: _read(path), reading)
    return to_faces(arrays, base / "WFLW_images", str(path), reading)


def read_attributes(path: Path) -> dict[str, np.ndarray]:
    """Return the six attributes of a WFLW list's faces, (N,) bool each, by name.

    None of another file: nothing.
    """
    if not path.name.startswith("list_98pt_rect_attr") or not path.is_file():
        return {}
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as text:
        rows = [line.split()[NUMBERS : NUMBERS + ATTRIBUTES] for line in text if line.strip()]
    values = np.array(rows) == "1"
    return {name: values[:, i] for i, name in enumerate(ATTRIBUTE_NAMES)}


def _read(path: Path) -> Iterator[Arrays]:
    refuse_binary(path)
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as text:
        numbered = ((number, line) for number, line in enumerate(text, start=1) if line.strip())
        while block := list(islice(numbered, BLOCK)):
            yield _parse(path, block)


def _parse(path: Path, block: list[tuple[int, str]]) -> Arrays:
    rows = [line.split() for _, line in block]
    for (number, _), row in zip(block, rows, strict=True):
        if len(row) != FIELDS:
            raise UserError(
                f"{path}, line {number}: {len(row)} fields where {2 * POINTS} coordinates, "
                f"{BOX} numbers of a box, {ATTRIBUTES} attributes and a name make {FIELDS}."
            )
    names = [
        parse_name(row[-1], f"{path}, line {number}, column {FIELDS}")
        for (number, _), row in zip(block, rows, strict=True)
    ]
    values = parse_numbers(
        [field for row in rows for field in row[:NUMBERS]],
        lambda i: f"{path}, line {block[i // NUMBERS][0]}, column {i % NUMBERS + 1}",
    ).reshape(len(rows), NUMBERS)
    return Arrays(np.array(names), values[:, :-BOX].reshape(-1, POINTS, 2), values[:, -BOX:])
