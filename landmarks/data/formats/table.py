"""`data=table`: a table with a file name and the points of one face in each row."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from landmarks.data.caches.cache_folder import describe_source
from landmarks.data.caches.mapped_faces import Arrays, map_faces, to_faces
from landmarks.data.faces import Faces, TrainingPath
from landmarks.data.reading.label_file_per_part import ImageFolders, find_file, find_images
from landmarks.data.reading.pixels_or_fractions import HiddenName
from landmarks.data.reading.reader_arguments import FileReading
from landmarks.data.tables.table_columns import Columns, find_columns
from landmarks.data.tables.table_rows import read_first, read_header, read_rows, refuse_nested
from landmarks.errors import UserError, say_some
from landmarks.settings import flat

VERSION = 2


@flat
def read_faces(
    train: TrainingPath,
    test: str,
    *,
    hidden: HiddenName = None,
    folders: ImageFolders,
    name_column: str | None = None,
    box_columns: list[str] | None = None,
    reading: FileReading,
) -> Faces:
    """Return the faces of a CSV, TSV or Parquet file, one a row.

    Args:
        train, test: the files; that of `test` need hold no points.
        folders: see `ImageFolders`.
        name_column: of the file names; None: the first there is of
            `landmarks.data.tables.table_columns.NAMES`, or the one whose first row names a file.
        box_columns: of x0, y0, x1, y1, in the points' coordinates; None: those of
            `landmarks.data.tables.table_columns.BOXES`, if any.
        hidden: see `landmarks.data.reading.pixels_or_fractions.Doubts`.

    Columns of points are named by an index, counted from 0 or 1, and x or y: x_0, x0, 0_x,
    Point_0_X, landmark_0_x, and points are in the order of the index; or by a name: left_eye_x,
    x_nose, in the order of the columns, and `point_names` are these; or they are 0, 1, 2, ... for x
    and y in turn. Columns of v or visible, named likewise, are 0 where a point is not visible. An
    empty field is missing. CelebA's lists and DeepLabCut's tables are read as they are.

    Raises:
        UserError: if there is no such file, it is malformed, or an image cannot be read.
    """
    path = find_file(train, test, "table", reading)
    arrays, names = map_table(path, reading, hidden, name_column, box_columns)
    folder, setting = find_images(path, folders, reading.part)
    faces = to_faces(arrays, folder, str(path), reading, named_by=setting)
    return replace(faces, point_names=names)


def map_table(
    path: Path,
    reading: FileReading,
    hidden: HiddenName = None,
    name_column: str | None = None,
    box_columns: list[str] | None = None,
) -> tuple[Arrays, list[str]]:
    """Return the faces of a table, mapped, and the names of its points; see `read_faces`."""
    header = read_header(path)
    try:
        columns = find_columns(path, header, name_column, box_columns, read_first(path))
    except UserError:
        refuse_nested(path)
        raise
    if reading.part == "train" and not columns.points:
        refuse_nested(path)
        raise UserError(
            f"{path}, line 1: no columns of points, as x_0, y_0, x_1, ... or NAME_x, NAME_y, ..., "
            f"among {say_some(header, 8)}; name them so."
        )
    source = {**describe_source(path, VERSION), "columns": columns}
    arrays = map_faces("table", source, lambda: _read(path, columns), reading, hidden)
    return arrays, columns.names


def _read(path: Path, columns: Columns) -> Iterator[Arrays]:
    numbers = [*columns.points, *columns.boxes, *columns.seen]
    ends = np.cumsum([len(columns.points), len(columns.boxes), len(columns.seen)])
    for names, values in read_rows(path, columns.name, numbers):
        points, boxes, seen, _ = np.split(values, ends, axis=1)
        yield Arrays(
            names,
            points.reshape(len(names), -1, 2) if columns.points else None,
            boxes if columns.boxes else None,
            seen if columns.seen else None,
        )
