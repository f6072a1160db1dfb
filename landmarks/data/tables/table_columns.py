"""Which columns of a table hold the file names, the points, and the boxes."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from landmarks.data.tables.landmarks_csv import NUMBER
from landmarks.errors import UserError, did_you_mean, say_some

NAMES = (
    "file_name filename image_name image_path image file path name "
    "image_id img_name img_path img file_path filepath".split()
)
BOXES = (
    ["box_x0", "box_y0", "box_x1", "box_y1"],
    ["x_min", "y_min", "x_max", "y_max"],
    ["xmin", "ymin", "xmax", "ymax"],
)
AXIS = "(x|y|v|vis|visible|visibility)"
LAST = re.compile(rf"(.*?)(\d{{1,18}})([_ .-]?){AXIS}")  # 0_x, Point_0_X, landmark_0_x
FIRST = re.compile(rf"((?:.*[_ .-])?){AXIS}([_ .-]?)(\d{{1,18}})")  # x0, x_0, point_x0
NAMED = re.compile(rf"(?=.*[a-z])(.+?)([_ .-]?){AXIS}")  # left_eye_x, noseX
AXIS_NAMED = re.compile(rf"{AXIS}([_ .-])(.+)")  # x_nose
WHOLE = re.compile(r"\d{1,18}")
FIELD = r"b?box|face|roi|rect|crop|image|img|scale|size|cent(er|re)|min|max|offset|resolution"
NO_POINT = re.compile(rf"({FIELD})s?", re.IGNORECASE)
FILE_NAME = re.compile(r"\S.*\.[A-Za-z]\w{1,4}")


class Columns(NamedTuple):
    """Columns of a table, from 0.

    name: of the file names; points: x of the first point, its y, x of the second, ...; boxes: x0,
    y0, x1, y1; seen: of each point's visibility. Empty lists: there are none. names: of the points;
    empty where they are numbered.
    """

    name: int
    points: list[int]
    boxes: list[int]
    seen: list[int]
    names: list[str]


def find_columns(
    path: Path,
    header: list[str],
    name_column: str | None,
    box_columns: list[str] | None,
    first: Sequence[str] = (),
) -> Columns:
    """Return the columns that a header names.

    Args:
        path: of the table, for messages.
        header: the names of its columns.
        name_column, box_columns: see `landmarks.data.formats.table.read_faces`.
        first: the texts of the first row, by which file names are known where no column's name
            says so; empty: not known.

    Raises:
        UserError: if a column is missing, or two kinds of columns may be the points.
    """
    numbered = [[str(i + first) for i in range(len(header) - 1)] for first in (0, 1)]
    is_numbered = header[:1] == [""] and header[1:] in numbered and len(header) % 2 == 1
    if is_numbered and name_column in (None, ""):  # a DataFrame with names as its index
        return Columns(0, list(range(1, len(header))), [], [], [])
    name = _find_name(path, header, name_column, first)
    boxes = _find_boxes(path, header, box_columns)
    points, seen, names = _find_points(path, header, {name, *boxes})
    return Columns(name, points or _find_bare(path, header, {name, *boxes}), boxes, seen, names)


def _find_name(path: Path, header: list[str], wanted: str | None, first: Sequence[str]) -> int:
    if wanted is not None:
        return _find(path, header, wanted, "data.name_column")
    lowered = [column.casefold() for column in header]
    for known in NAMES:
        if known in lowered:
            return lowered.index(known)
    texts = [
        i for i, text in enumerate(first) if text.strip() and not NUMBER.fullmatch(text.strip())
    ]
    files = [i for i in texts if FILE_NAME.fullmatch(first[i].strip())]
    is_header = not (header and FILE_NAME.fullmatch(header[0]))
    if is_header and len(files or texts) == 1:
        return (files or texts)[0]
    numbers = [column for column in header if NUMBER.fullmatch(column)]
    if not header:
        raise UserError(f"{path} is empty; a header belongs in its first line.")
    if len(header) == 1 and " " in header[0].strip():
        raise UserError(f"{path}, line 1: spaces separate the columns; use commas or TABs.")
    if 2 * len(numbers) > len(header):
        raise UserError(
            f"{path}, line 1: a header such as file_name,x_0,y_0,... belongs there; found "
            f"'{numbers[0]}'."
        )
    found = say_some((f"'{header[i]}'" for i in files or texts), 5) if texts else ""
    raise UserError(
        f"{path}, line 1: no column of file names (file_name, image, ...) among "
        f"{say_some(header, 8)}; set data.name_column=COLUMN"
        f"{f', perhaps one of {found}' if found else ''}."
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


def parse_column(text: str) -> tuple[tuple, int | str, str] | None:
    """Return a column's way of naming, which point it is of, and x, y or v; None: of no point."""
    lowered = text.casefold()
    if match := LAST.fullmatch(lowered):
        prefix, index, between, axis = match.groups()
        return ("last", prefix, between), int(index), axis
    if match := FIRST.fullmatch(lowered):
        prefix, axis, between, index = match.groups()
        return ("first", prefix, between), int(index), axis
    if match := NAMED.fullmatch(lowered):
        name, between, axis = match.groups()
        return None if NO_POINT.fullmatch(name) else (("named", between), name, axis)
    if match := AXIS_NAMED.fullmatch(lowered):
        axis, between, name = match.groups()
        return None if NO_POINT.fullmatch(name) else (("named first", between), name, axis)
    return None


def _find_points(
    path: Path, header: list[str], others: set[int]
) -> tuple[list[int], list[int], list[str]]:
    """Return the points' columns, x and y in turn, those of their visibility, and their names."""
    ways: dict[tuple, dict[tuple[int | str, str], int]] = {}
    for column, text in enumerate(header):
        parsed = None if column in others else parse_column(text)
        if parsed is None:
            continue
        way, point, axis = parsed
        place = point, axis if axis in "xy" else "v"
        if place in ways.setdefault(way, {}):
            raise UserError(f"{path}, line 1, column {column + 1}: '{text}' occurs twice.")
        ways[way][place] = column
    # A name alone, such as "max" or "gender_v", is no point; one with x and y is.
    for way in [way for way in ways if way[0].startswith("named")]:
        points = {point for point, _ in ways[way]}
        whole = [point for point in points if {(point, "x"), (point, "y")} <= set(ways[way])]
        if whole and way[1]:
            _refuse_half(path, header, ways[way])
        ways[way] = {place: column for place, column in ways[way].items() if place[0] in whole}
    ways = {way: found for way, found in ways.items() if any(axis != "v" for _, axis in found)}
    if len(ways) > 1:
        ways = {("named",): _join_ways(path, header, ways)}
    if not ways:
        return [], [], []
    (columns,) = ways.values()
    points = list(dict.fromkeys(point for point, _ in columns))
    if isinstance(points[0], int):
        points = range(min(*points, 1), max(points) + 1)  # the number of a name may be any
    for point, axis in ((point, axis) for point in points for axis in "xy"):
        if (point, axis) not in columns:
            raise UserError(
                f"{path}, line 1: there is no column for {axis} of point {point}; points have x "
                f"and y and count from 0 or 1."
            )
    seen = [columns.get((point, "v")) for point in points]
    if None in seen and any(column is not None for column in seen):
        raise UserError(
            f"{path}, line 1: there is no column for the visibility of point "
            f"{points[seen.index(None)]}; all points have one, or none."
        )
    pairs = [columns[point, axis] for point in points for axis in "xy"]
    is_named = not isinstance(points, range)
    names = [_name_of(header[columns[point, "x"]]) for point in points] if is_named else []
    return pairs, [] if None in seen else seen, names


def _refuse_half(path: Path, header: list[str], columns: dict) -> None:
    """Raise UserError for a point that has x or y alone, beside others that have both."""
    for (point, axis), column in columns.items():
        other = {"x": "y", "y": "x"}.get(axis)
        if other and (point, other) not in columns:
            raise UserError(
                f"{path}, line 1: '{header[column]}' has no column of its {other} beside it; "
                f"correct that one's name, or rename or remove '{header[column]}'."
            )


def _name_of(text: str) -> str:
    """Return a point's name, as it is written, of one of its columns."""
    lowered = text.casefold()
    if match := NAMED.fullmatch(lowered):
        return text[: len(match[1])]
    return text[-len(AXIS_NAMED.fullmatch(lowered)[3]) :]


def _find_bare(path: Path, header: list[str], others: set[int]) -> list[int]:
    """Return columns named 0, 1, 2, ..., which are x and y in turn; none: there are no such."""
    bare = [i for i, text in enumerate(header) if i not in others and WHOLE.fullmatch(text)]
    counted = [int(header[i]) for i in bare]
    if not bare or counted != list(range(counted[0], counted[0] + len(bare))) or counted[0] > 1:
        return []
    if len(bare) % 2:
        raise UserError(
            f"{path}, line 1: {len(bare)} numbered columns, from '{header[bare[0]]}' to "
            f"'{header[bare[-1]]}'; x and y in turn make an even count."
        )
    return bare


def _join_ways(path: Path, header: list[str], ways: dict) -> dict[tuple[str, str], int]:
    """Return the columns of points whose names end in numbers in part: eye1_x, eye2_x, nose_x."""
    indices = [frozenset(point for point, _ in found) for found in ways.values()]
    is_one_form = {way[0] for way in ways} <= {"last", "named"} and len({w[-1] for w in ways}) == 1
    # The same indices twice may be labels and predictions; a box's corners are no points.
    are_versions = len(set(indices)) == 1 and len(ways) == 2
    fields = [part for way in ways if way[0] == "last" for part in re.split(r"[_ .-]", way[1])]
    if not is_one_form or are_versions or any(map(NO_POINT.fullmatch, fields)):
        _refuse_two(path, header, list(ways.values()))
    columns = sorted((column, place) for found in ways.values() for place, column in found.items())
    axes = [(_name_of(header[column]).casefold(), axis) for column, (_, axis) in columns]
    return dict(zip(axes, (column for column, _ in columns), strict=True))


def _refuse_two(path: Path, header: list[str], ways: list[dict]) -> None:
    """Raise UserError for two kinds of columns that may be points; two points may be a box."""
    first, second = (header[min(columns.values())] for columns in ways[:2])
    corners = next((sorted(columns.values()) for columns in ways if len(columns) == 4), None)
    box = "X0,Y0,X1,Y1" if corners is None else ",".join(header[column] for column in corners)
    raise UserError(
        f"{path}, line 1: '{first[:40]}' and '{second[:40]}' both look like points; "
        f"name those of the box with data.box_columns=[{box[:200]}], or rename or remove one kind."
    )
