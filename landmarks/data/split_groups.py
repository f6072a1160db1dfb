"""Which faces a split may not part: those of one image, and those of one group of a table."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from landmarks.data.faces import plain_names
from landmarks.data.reading.suggest_names import say_near
from landmarks.data.tables.table_rows import read_header, read_texts
from landmarks.errors import UserError, did_you_mean, say_count, say_some

NAME = "file_name"


class GroupSettings(NamedTuple):
    """The settings that ask for groups, name their table, and name its column, for messages."""

    asked: str
    file: str
    column: str


OF_SPLIT = GroupSettings("split.by=groups", "split.file", "split.column")


def group_images(names: np.ndarray) -> np.ndarray:
    """Return (n,) int: faces have one number where their images' names (n,) are the same."""
    numbers: dict[bytes, int] = {}  # five times as fast as sorting
    plain = plain_names(names).tolist()
    return np.array([numbers.setdefault(name, len(numbers)) for name in plain])


def group_by_table(
    names: np.ndarray,
    source: str,
    file: str | None,
    column: str,
    settings: GroupSettings = OF_SPLIT,
) -> np.ndarray:
    """Return (n,) int: faces have one number where an image or a group of the table joins them.

    An image may stand in several groups, as several faces of it do: then these are one.

    Args:
        names: (n,) bytes, of the faces' images.
        source: of the faces, for messages.
        file: a CSV, TSV or Parquet file with file_name and the column.
        column: its name.
        settings: that name all this.

    Raises:
        UserError: if there is no such table or column, or a face has no group.
    """
    if file is None or not Path(file).is_file():
        found = "" if file is None else f"; there is no {file}"
        raise UserError(
            f"{settings.asked} needs {settings.file}=FILE, a table with {NAME} and '{column}'"
            f"{found}."
        )
    listed, groups = _read(Path(file), column, settings)
    names = plain_names(names)
    images, of_face = np.unique(names, return_inverse=True)
    there = np.isin(listed, images) & (groups != "")
    image = np.searchsorted(images, listed[there])
    kinds, group = np.unique(groups[there], return_inverse=True)
    lost = np.bincount(image, minlength=len(images))[of_face] == 0
    if lost.any():
        missing = [name.decode() for name in np.unique(names[lost]).tolist()]
        near = say_near(missing, (name.decode() for name in listed.tolist()))
        raise UserError(
            f"{file} names no group of {say_count(int(lost.sum()), 'face')} of {source}, "
            f"'{names[lost.argmax()].decode()}' first.{near}"
        )
    count = len(images) + len(kinds)
    joined = coo_array((np.ones(len(image)), (image, len(images) + group)), shape=(count, count))
    return connected_components(joined, directed=False)[1][of_face]


def _read(path: Path, column: str, settings: GroupSettings) -> tuple[np.ndarray, np.ndarray]:
    """Return names (m,) bytes and groups (m,) text; every text but an empty one is a group."""
    try:
        header = read_header(path)
        if not {NAME, column} <= set(header):
            raise UserError(
                f"{path}, line 1: columns {NAME} and '{column}' are needed ({settings.column}); "
                f"found {say_some(header, 8) or 'none'}.{did_you_mean(column, header)}"
            )
        wanted = [header.index(NAME), header.index(column)]
        rows = [[text.strip() for text in row] for row in read_texts(path, wanted)]
    except OSError as error:
        raise UserError(f"{settings.file}={path} cannot be read ({error.strerror}).") from error
    if not rows:
        raise UserError(f"{path} holds a header and no rows.")
    names, groups = zip(*rows, strict=True)
    return plain_names(np.array([name.encode() for name in names])), np.array(groups)
