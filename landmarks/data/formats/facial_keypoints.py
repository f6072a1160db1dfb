"""`data=facial_keypoints`: Kaggle's "Facial Keypoints Detection", with its images as numbers."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from landmarks.data.caches.cache_folder import cached, describe_source
from landmarks.data.faces import Asked, Faces
from landmarks.data.images.check_images import check_images
from landmarks.data.reading.format_signatures import refuse_near, refuse_other
from landmarks.data.reading.reader_arguments import Reading
from landmarks.data.reading.text_fields import parse_numbers
from landmarks.data.reading.text_file import read_rows
from landmarks.data.tables.table_columns import Columns, find_columns
from landmarks.errors import UserError, did_you_mean, say_count, say_some
from landmarks.settings import flat

MAX_DIGITS = 18  # of an id, which is kept as int64 or names a file
ROW_HEADER = ["RowId", "ImageId", "FeatureName", "Location"]
VERSION = 1
BLOCK = 256  # faces turned into arrays at once
IMAGE, ID = "Image", "ImageId"
FILES = {"train": "training.csv", "test": "test.csv"}
LOOKUP = "IdLookupTable.csv"
POINTS = (  # in the order of training.csv; left and right are the subject's
    "left_eye_center right_eye_center left_eye_inner_corner left_eye_outer_corner "
    "right_eye_inner_corner right_eye_outer_corner left_eyebrow_inner_end left_eyebrow_outer_end "
    "right_eyebrow_inner_end right_eyebrow_outer_end nose_tip mouth_left_corner "
    "mouth_right_corner mouth_center_top_lip mouth_center_bottom_lip".split()
)


def read_lookup(path: Path, images: Sequence[str], points: Sequence[str]) -> Asked:
    """Return what a lookup table asks, in its order.

    Args:
        images: ids of the test images, in the faces' order.
        points: names of the points.

    Raises:
        UserError: with file, line and column, for a malformed file, an image that is not among the
            test images, or a point that has another name.
    """
    rows = read_rows(path)
    _, header = next(rows, (1, []))
    if [name.strip() for name in header] != ROW_HEADER:
        raise UserError(f"{path}, line 1: {','.join(ROW_HEADER)} belongs here; found '{header}'.")
    face_of = {image: row for row, image in enumerate(images)}
    features = [f"{point}_{axis}" for point in points for axis in "xy"]
    place_of = {feature: place for place, feature in enumerate(features)}
    ids, faces, places = [], [], []
    for line, row in rows:
        where = f"{path}, line {line}"
        if len(row) != len(ROW_HEADER):
            raise UserError(
                f"{where}: {say_count(len(row), 'column')}; {len(ROW_HEADER)} belong here."
            )
        number, image, feature, _ = (field.strip() for field in row)
        if not (number.isascii() and number.isdecimal() and len(number) <= MAX_DIGITS):
            raise UserError(f"{where}, column 1 ('RowId'): '{number[:40]}' is no whole number.")
        if image not in face_of:
            raise UserError(
                f"{where}, column 2 ('ImageId'): test.csv has no image '{image[:40]}'; both files "
                f"are of one download."
            )
        if feature not in place_of:
            raise UserError(
                f"{where}, column 3 ('FeatureName'): there is no '{feature[:60]}' among the points "
                f"of training.csv.{did_you_mean(feature, features)}"
            )
        ids.append(int(number))
        faces.append(face_of[image])
        places.append(place_of[feature])
    if not ids:
        raise UserError(f"{path} asks for nothing: there are no rows below its header.")
    _refuse_twice(path, ids)
    return Asked(str(path), *(np.array(values) for values in (ids, faces, places)))


def _refuse_twice(path: Path, ids: list[int]) -> None:
    if len(set(ids)) < len(ids):
        twice = next(number for at, number in enumerate(ids) if number in ids[:at])
        raise UserError(f"{path}: RowId {twice} occurs twice; leave one of them out.")


class Row(NamedTuple):
    """A face of a table: where it stands, its name, pixels (S, S) uint8, numbers as text."""

    line: int
    name: str
    pixels: np.ndarray
    fields: list[str]


@flat
def read_faces(root: str, *, reading: Reading) -> Faces:
    """Return the labelled training faces, or the test faces with the coordinates asked of them.

    Args:
        root: holds training.csv, and for the test faces test.csv and IdLookupTable.csv.

    Images are grey values, row by row, in the column `Image`; they are written once, as PNG files,
    into the cache. Points are used as they are: the first pixel's centre is (0, 0). The contest's
    score is the root of the mean squared error over all asked coordinates, which are clipped to the
    image: `Faces.scored_to`.

    Raises:
        UserError: if there is no such file, or it is malformed: with file, line and column.
    """
    part = reading.part
    path = _find(Path(root), FILES[part])
    lookup = path.parent / LOOKUP
    if part == "test" and not lookup.is_file():
        raise UserError(
            f"There is no {lookup}, which says what a submission holds: put the contest's file "
            f"there."
        )
    source = describe_source(path, VERSION)
    folder, note = cached(
        "facial_keypoints", source, lambda aside: _build(path, aside), reading.cache_dir
    )
    names = np.load(folder / "names.npy", mmap_mode="r")
    asked = _read_asked(lookup, names, reading.limit) if part == "test" else None
    points = None
    if note["points"]:
        shape = (note["rows"], len(note["points"]), 2)
        points = np.memmap(folder / "points.f32", np.float32, mode="r", shape=shape)
    if part == "train" and points is None:
        raise UserError(f"{path}, line 1: no columns of points, such as {POINTS[0]}_x.")
    faces = Faces(
        folder / "images",
        names[: reading.limit],
        None if points is None else points[: reading.limit],
        source=str(path),
        cache=reading.cache,
        cache_dir=reading.cache_dir,
        point_names=note["points"] or _names_of_points(path.parent),
        scored_to=float(note["side"]),
        asked=asked,
    )
    return check_images(faces, reading)


def _find(root: Path, file: str) -> Path:
    for folder in (root, root / "facial-keypoints-detection"):
        if (folder / file).is_file():
            return folder / file
        packed = folder / f"{Path(file).stem}.zip", folder / f"{file}.zip"
        found = next((path for path in packed if path.is_file()), None)
        if found is not None:
            raise UserError(f"{found} is an archive: extract it beside itself, into {file}.")
    refuse_near(root, file, f"facial-keypoints-detection/{file}")
    refuse_other(root, "facial_keypoints")
    raise UserError(
        f"There is no {root / file}: put the contest's files there, or set data.root=FOLDER."
    )


def _names_of_points(folder: Path) -> list[str]:
    """Return the names that training.csv gives the points, or the contest's own without one."""
    training = folder / FILES["train"]
    if not training.is_file():
        return list(POINTS)
    _, header = next(read_rows(training), (1, []))
    return _columns(training, header).names


def _read_asked(lookup: Path, names: np.ndarray, limit: int | None) -> Asked:
    """Return what is asked of the first `limit` of the faces with these names (N,)."""
    ids = [Path(name.decode()).stem for name in names.tolist()]
    asked = read_lookup(lookup, ids, _names_of_points(lookup.parent))
    kept = asked.faces < (limit or len(names))
    chosen = {key: getattr(asked, key)[kept] for key in ("rows", "faces", "places")}
    return asked._replace(**chosen)


def _columns(path: Path, header: list[str]) -> Columns:
    if IMAGE not in header:
        listed = f"; found {say_some(header, 8)}" if header else ", and nothing else"
        raise UserError(f"{path}, line 1: there is no column '{IMAGE}' of grey values{listed}.")
    columns = find_columns(path, header, IMAGE, None)
    known = {columns.name, *columns.points}
    others = [name for i, name in enumerate(header) if i not in known and name != ID]
    if others:
        raise UserError(
            f"{path}, line 1: '{others[0]}' belongs to no point: each has two columns, such as "
            f"{POINTS[0]}_x and {POINTS[0]}_y."
        )
    return columns


def _build(path: Path, aside: Path) -> dict:
    """Write points, names and images; return their number, the points' names, the images' side."""
    (aside / "images").mkdir()
    rows = read_rows(path)
    header = [name.strip() for name in next(rows, (1, []))[1]]
    columns = _columns(path, header)
    names, side = [], None
    with (aside / "points.f32").open("wb") as out:
        for block in _blocks(_parse(path, header, columns, rows)):
            for row in block:
                side = side or len(row.pixels)
                if len(row.pixels) != side:
                    raise UserError(
                        f"{path}, line {row.line}, column {columns.name + 1} ('{IMAGE}'): "
                        f"{row.pixels.size} grey values, and {side * side} in the rows before; all "
                        f"images are of one size."
                    )
                packed = cv2.imencode(".png", row.pixels)[1]
                (aside / "images" / row.name).write_bytes(packed.tobytes())
                names.append(row.name.encode())
            out.write(_points(path, header, columns, block))
    if not names:
        raise UserError(f"{path} holds a header and no faces.")
    if len(set(names)) < len(names):
        twice = next(name for at, name in enumerate(names) if name in names[:at])
        raise UserError(f"{path}: {ID} {Path(twice.decode()).stem} occurs twice.")
    np.save(aside / "names.npy", np.array(names))
    return {"rows": len(names), "points": columns.names, "side": side}


def _blocks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    block = []
    for row in rows:
        block.append(row)
        if len(block) == BLOCK:
            yield block
            block = []
    if block:
        yield block


def _parse(
    path: Path, header: list[str], columns: Columns, rows: Iterator[tuple[int, list[str]]]
) -> Iterator[Row]:
    number = header.index(ID) if ID in header else None
    for count, (line, row) in enumerate(rows, start=1):
        if len(row) != len(header):
            raise UserError(
                f"{path}, line {line}: {say_count(len(row), 'column')} where the header has "
                f"{len(header)}."
            )
        name = str(count) if number is None else row[number].strip()
        if not (name.isascii() and name.isdecimal() and len(name) <= MAX_DIGITS):
            raise UserError(
                f"{path}, line {line}, column {number + 1} ('{ID}'): '{name[:40]}' is no whole "
                f"number."
            )
        where = f"{path}, line {line}, column {columns.name + 1} ('{IMAGE}')"
        pixels = _pixels(row[columns.name], where)
        yield Row(line, f"{name}.png", pixels, [row[column] for column in columns.points])


def _pixels(text: str, where: str) -> np.ndarray:
    """Return the image (S, S) uint8 of grey values, separated by spaces."""
    words = text.split()
    side = math.isqrt(len(words))
    if not words or side * side != len(words):
        raise UserError(
            f"{where}: {say_count(len(words), 'grey value')}; a square image, such as 96 x 96 = "
            f"9216, belongs here."
        )
    wrong = None
    try:
        values = np.array(words, "S").astype(np.int64)
    except (ValueError, OverflowError, UnicodeEncodeError):
        wrong = next(w for w in words if not (w.isascii() and w.isdecimal() and len(w) < 4))
    else:
        if values.min() < 0 or values.max() > 255:
            wrong = words[int(np.argmax((values < 0) | (values > 255)))]
    if wrong is not None:
        raise UserError(f"{where}: '{wrong[:20]}' is no grey value of 0 to 255.")
    return values.astype(np.uint8).reshape(side, side)


def _points(path: Path, header: list[str], columns: Columns, block: list[Row]) -> np.ndarray:
    def where(i: int) -> str:
        column = columns.points[i % len(columns.points)]
        line = block[i // len(columns.points)].line
        return f"{path}, line {line}, column {column + 1} ('{header[column]}')"

    return parse_numbers([field.strip() for row in block for field in row.fields], where)
