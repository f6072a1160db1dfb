"""`data=table`: a table with a file name and the points of one face in each row."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from landmarks.data.cachefolder import describe_source
from landmarks.data.faces import CacheName, ExifName, Faces
from landmarks.data.mapped import Arrays, Asked, map_faces, to_faces
from landmarks.data.recognise import refuse_other
from landmarks.data.tablerows import is_parquet, read_header, read_rows
from landmarks.errors import UserError, did_you_mean
from landmarks.settings import PositiveInt

VERSION = 1
NAMES = ("file_name", "filename", "image_name", "image_path", "image", "file", "path", "name")
BOXES = (
    ["box_x0", "box_y0", "box_x1", "box_y1"],
    ["x_min", "y_min", "x_max", "y_max"],
    ["xmin", "ymin", "xmax", "ymax"],
)
AXIS_LAST = re.compile(r"(.*?)(\d+)([_ .-]?)([xy])")  # 0_x, Point_0_X, landmark_0_x
AXIS_FIRST = re.compile(r"((?:.*[_ .-])?)([xy])([_ .-]?)(\d+)")  # x0, x_0, point_x0


def read_faces(
    train: str,
    test: str,
    *,
    part: Literal["train", "test"] = "train",
    images: str | None = None,
    name_column: str | None = None,
    box_columns: list[str] | None = None,
    cache_dir: str | None = None,
    limit: PositiveInt | None = None,
    on_error: Literal["stop", "skip"] = "stop",
    cache: CacheName = "auto",
    exclude: str | None = None,
    exif: ExifName = "rotate",
) -> Faces:
    """Return the faces of a CSV, TSV or Parquet file, one a row.

    Args:
        train, test: the files; that of `test` need hold no points.
        part: which of them.
        images: the folder that file names start from; None: the file's own.
        name_column: of the file names; None: the first there is of `NAMES`.
        box_columns: of x0, y0, x1, y1, in the points' coordinates; None: those of `BOXES`, if any.
        cache_dir: where the points are kept in binary; None: the user's cache folder.
        limit: only so many faces, the first ones; None: all.
        on_error: "stop" at unreadable images with their list, or "skip" them and say how many.
        cache: see `Faces`.
        exclude: training faces to leave out, see `landmarks.data.exclude.read_names`.
        exif: see `Faces`.

    Columns of points are named by an index, counted from 0 or 1, and x or y: x_0, x0, 0_x,
    Point_0_X, landmark_0_x. Points are in the order of the index. An empty field is missing.

    Raises:
        UserError: if there is no such file, it is malformed, or an image cannot be read.
    """
    path = Path(train if part == "train" else test)
    if not path.is_file():
        refuse_other(path, "table")
        raise UserError(f"There is no table {path}: set data.{part}=FILE.")
    if not is_parquet(path):
        refuse_other(path, "table")
    header = read_header(path)
    name = _find_name(path, header, name_column)
    boxes = _find_boxes(path, header, box_columns)
    points = _find_points(path, header, {name, *boxes})
    source = {**describe_source(path, VERSION), "columns": [name, points, boxes]}
    arrays = map_faces("table", source, lambda: _read(path, name, points, boxes), cache_dir)
    asked = Asked(part, limit, on_error, cache, cache_dir, exclude, exif)
    return to_faces(arrays, path.parent if images is None else Path(images), str(path), asked)


def _read(path: Path, name: int, points: list[int], boxes: list[int]) -> Iterator[Arrays]:
    for names, values in read_rows(path, name, points + boxes):
        pairs = values[:, : len(points)].reshape(len(names), -1, 2)
        yield Arrays(names, pairs if points else None, values[:, len(points) :] if boxes else None)


def _find_name(path: Path, header: list[str], wanted: str | None) -> int:
    if wanted is not None:
        return _find(path, header, wanted, "data.name_column")
    lowered = [column.casefold() for column in header]
    for known in NAMES:
        if known in lowered:
            return lowered.index(known)
    raise UserError(
        f"{path}, line 1: no column of file names ({', '.join(NAMES)}) among "
        f"{', '.join(header)[:80]}; set data.name_column=COLUMN."
    )


def _find_boxes(path: Path, header: list[str], wanted: list[str] | None) -> list[int]:
    if wanted is not None:
        if len(wanted) != 4:
            raise UserError(f"data.box_columns takes four columns, x0, y0, x1, y1; got {wanted}.")
        return [_find(path, header, column, "data.box_columns") for column in wanted]
    lowered = [column.casefold() for column in header]
    found = next((names for names in BOXES if set(names) <= set(lowered)), [])
    return [lowered.index(column) for column in found]


def _find(path: Path, header: list[str], column: str, setting: str) -> int:
    if column not in header:
        hint = did_you_mean(column, header)
        raise UserError(f"{path}, line 1: there is no column '{column}' ({setting}).{hint}")
    return header.index(column)


def _find_points(path: Path, header: list[str], others: set[int]) -> list[int]:
    """Return the columns of x of the first point, its y, x of the second, ..."""
    families: dict[tuple, dict[tuple[int, str], int]] = {}  # one a way of naming
    for column, text in enumerate(header):
        lowered = text.casefold()
        if column in others:
            continue
        if match := AXIS_LAST.fullmatch(lowered):
            prefix, index, between, axis = match.groups()
            way = ("last", prefix, between)
        elif match := AXIS_FIRST.fullmatch(lowered):
            prefix, axis, between, index = match.groups()
            way = ("first", prefix, between)
        else:
            continue
        place = int(index), axis
        if place in families.setdefault(way, {}):
            raise UserError(f"{path}, line 1, column {column + 1}: '{text}' stands there twice.")
        families[way][place] = column
    if len(families) > 1:
        first, second = (header[min(columns.values())] for columns in list(families.values())[:2])
        raise UserError(
            f"{path}, line 1: '{first}' and '{second}' both look like points; name those of the "
            f"box with data.box_columns=[X0,Y0,X1,Y1], or rename or remove one kind."
        )
    if not families:
        return []
    (columns,) = families.values()
    indices = [index for index, _ in columns]
    places = [(i, axis) for i in range(min(*indices, 1), max(indices) + 1) for axis in "xy"]
    for index, axis in places:
        if (index, axis) not in columns:
            raise UserError(
                f"{path}, line 1: there is no column for {axis} of point {index}; points have x "
                f"and y and count from 0 or 1."
            )
    return [columns[place] for place in places]
