"""`data.exclude`: training faces left out by name, as `landmarks check` lists them."""

import logging
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from landmarks.data.faces import Faces, plain_names
from landmarks.data.reading.suggest_names import say_near
from landmarks.data.reading.text_file import read_text
from landmarks.data.tables.table_rows import read_header, read_texts
from landmarks.errors import UserError, say_count, say_some

log = logging.getLogger(__name__)
COLUMNS = ("name", "file_name")
FILE_NAME = re.compile(r"\.[a-z]\w{1,4}$")  # how a line ends that is one


def find_excluded(faces: Faces, file: str | None) -> np.ndarray:
    """Return (N,) bool: is the training face's image named in the file, see `read_names`?

    Names that are not among the faces are counted in a warning. A name stands for an image: where
    an image shows several faces, all of them are left out.

    Raises:
        UserError: if the file cannot be read, or leaves no face.
    """
    if file is None:
        return np.zeros(len(faces), bool)
    names, plain = np.array(sorted(read_names(file)), dtype=bytes), plain_names(faces.names)
    excluded = np.isin(plain, names)
    unknown = names[~np.isin(names, plain)]
    if len(unknown):
        there = {name.decode() for name in faces.names.tolist()}
        log.warning(
            f"{len(unknown)} of {say_count(len(names), 'name')} in {file}: no face of "
            f"{faces.source}.{say_near([name.decode() for name in unknown.tolist()], there)}"
        )
    if len(faces) and excluded.all():
        raise UserError(f"data.exclude={file} names every face of {faces.source}: none is left.")
    if excluded.any():
        log.info(f"Left out {say_count(excluded.sum(), 'face')} named in {file}.")
    return excluded


def read_names(file: str) -> set[bytes]:
    """Return the file names, UTF-8 and plain, that a table or list leaves out of training.

    Args:
        file: a CSV, TSV or Parquet table with a column `name` or `file_name`;
            or a text with one name a line. With a column `level`, only its errors count (remove
            the column, and warnings count too); with a column `part`, only its training faces.

    Raises:
        UserError: if there is no such file, or no such column.
    """
    path = Path(file)
    try:
        header = [name.casefold() for name in read_header(path)]
        column = next((name for name in COLUMNS if name in header), None)
        if column is None and len(header) > 1 and not FILE_NAME.search(header[-1]):
            raise UserError(
                f"data.exclude={file}, line 1: there is no column {' or '.join(COLUMNS)} among "
                f"{say_some(header, 8)}; add one, or list one name a line."
            )
        if column is None:
            return _plain(line.strip() for line in read_text(path).splitlines())
        wanted = [name for name in (column, "level", "part") if name in header]
        rows = list(read_texts(path, [header.index(name) for name in wanted]))
    except OSError as error:
        said = f"data.exclude={file} cannot be read ({error.strerror}); name a table."
        raise UserError(said) from error
    chosen = (dict(zip(wanted, (text.strip() for text in row), strict=True)) for row in rows)
    return _plain(
        row[column]
        for row in chosen
        if row.get("level", "") in ("", "error") and row.get("part", "") in ("", "train")
    )


def _plain(names: Iterable[str]) -> set[bytes]:
    listed = np.array([name.encode() for name in names if name], dtype=bytes)
    return set(plain_names(listed).tolist())
