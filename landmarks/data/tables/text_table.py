"""A text table in one form, however it was written: its header, then its rows.

Beside plain headers: a first line that counts the rows and columns separated by spaces (CelebA's
lists), a first column without a name, and DeepLabCut's three header lines.
"""

import csv
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from landmarks.data.reading import text_file as textfile
from landmarks.data.reading.text_fields import NO_VALUE
from landmarks.data.tables.landmarks_csv import NUMBER
from landmarks.data.tables.table_columns import NAMES, parse_column
from landmarks.errors import UserError, say_some

Row = tuple[int, list[str]]  # number of its line, fields
MAX_HEADER = 5  # rows that are looked at for DeepLabCut's header; it has three or four


def read_table(path: Path) -> tuple[list[str], Iterator[Row]]:
    """Return the names of a table's columns, and an iterator of its rows.

    Raises:
        UserError: with the line, for a malformed file; OSError: if it cannot be read.
    """
    delimiter, is_counted = _find_form(path)
    rows = islice(textfile.read_rows(path, delimiter), int(is_counted), None)
    first = list(islice(rows, 1))
    if not first:
        return [], iter(())
    header = [name.strip() for name in first[0][1]]
    if header[0].casefold() == "scorer":
        return _read_deeplabcut(path, [*first, *islice(rows, MAX_HEADER)], rows)
    following = list(islice(rows, 1)) if len(header) > 1 else []
    if following and _lacks_a_name(header, following[0][1]):
        header = ["", *header]
    return header, chain(following, rows)


def find_plain(path: Path, header: list[str]) -> str | None:
    """Return the separator of a table's fields, if its first line is the header and nothing else.

    Args:
        header: from `read_table`; the first column's name may be missing in the file.
    """
    delimiter, is_counted = _find_form(path)
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as text:
        line = text.readline()
    if line.endswith("\r"):
        return None  # lines end as on old Macs
    delimiter = delimiter or textfile.find_delimiter(line)
    names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]
    is_plain = not is_counted and delimiter != " "
    return delimiter if is_plain and names in (header, header[1:]) else None


def _find_form(path: Path) -> tuple[str | None, bool]:
    """Return what separates the columns, None: the usual, and whether a count comes first."""
    textfile.refuse_binary(path)
    with path.open(encoding="utf-8-sig", errors="replace") as text:
        written = (line.strip() for line in text)
        lines = list(islice((line for line in written if line), 2))
    is_counted = len(lines) == 2 and lines[0].isdigit() and _names_points(lines[1])
    head = lines[int(is_counted)] if lines else ""
    if _names_points(head) and not any(sign in head for sign in textfile.SEPARATORS):
        return " ", is_counted
    return (textfile.find_delimiter(head) if is_counted else None), is_counted


def _names_points(line: str) -> bool:
    """Return whether a line names points, mostly: numbers do where a name stands before them."""
    for sign in textfile.SEPARATORS:
        line = line.replace(sign, " ")
    names = line.split()
    points = [name for name in names if name.isdigit() or parse_column(name) is not None]
    if all(name.isdigit() for name in names):
        return False
    return len(points) > 1 and 2 * len(points) >= len(names)


def _lacks_a_name(header: list[str], row: list[str]) -> bool:
    """Return whether the header leaves out the name of a first column, of file names."""
    is_text = len(row) == len(header) + 1 and not NUMBER.fullmatch(row[0].strip())
    if not is_text or any(name.casefold() in NAMES for name in header):
        return False
    return all(field.strip() in NO_VALUE or NUMBER.fullmatch(field) for field in row[1:])


def _read_deeplabcut(
    path: Path, head: list[Row], rows: Iterator[Row]
) -> tuple[list[str], Iterator[Row]]:
    """Return the header and rows; a name may be split into several columns."""
    kinds = [fields[0].strip().casefold() for _, fields in head]
    if "individuals" in kinds:
        raise UserError(
            f"{path}, line {head[kinds.index('individuals')][0]}: several individuals stand in a "
            f"row, as DeepLabCut writes them; write a row a face, with its points alone."
        )
    if kinds[:3] != ["scorer", "bodyparts", "coords"]:
        raise UserError(
            f"{path}, line {head[0][0]}: scorer, bodyparts and coords belong in the first three "
            f"lines of DeepLabCut's tables; found {say_some(kinds[:3], 3)}."
        )
    parts, axes = ([text.strip() for text in fields] for _, fields in head[1:3])
    width = next((i for i in range(1, len(axes)) if axes[i]), len(axes))
    if len(parts) != len(axes):
        raise UserError(
            f"{path}, line {head[2][0]}: {len(axes)} columns where line {head[1][0]} has "
            f"{len(parts)}."
        )
    pairs = zip(parts[width:], axes[width:], strict=True)
    header = ["file_name", *(f"{part}_{axis}" for part, axis in pairs)]
    read = chain(head[3:], rows)
    return header, ((n, ["/".join(row[:width]), *row[width:]]) for n, row in read)
