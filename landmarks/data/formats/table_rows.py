"""The rows of a table file, CSV, TSV or Parquet: file names and numbers, block by block."""

from collections.abc import Iterator
from itertools import islice
from operator import itemgetter
from pathlib import Path

import numpy as np

from landmarks.data import text_file as textfile
from landmarks.data.fields import parse_name, parse_numbers
from landmarks.data.formats.landmarks_csv import FLOAT32_MAX
from landmarks.errors import UserError, say_count

BLOCK = 1 << 18  # fields parsed at once


def is_parquet(path: Path) -> bool:
    """Return whether a table's name says that it is Parquet."""
    return path.suffix.lower() in (".parquet", ".pq")


def read_header(path: Path) -> list[str]:
    """Return the names of a table's columns.

    Raises:
        UserError: if the file cannot be read as a table.
    """
    if is_parquet(path):
        return _open_parquet(path).schema_arrow.names
    _, header = next(textfile.read_rows(path), (1, []))
    return [name.strip() for name in header]


def read_rows(path: Path, name: int, numbers: list[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield names (n,) bytes and numbers (n, m) float32, NaN where empty, in bounded memory.

    Args:
        name: which column (from 0) holds the file names.
        numbers: which columns hold the numbers, in the order wanted.

    Raises:
        UserError: with file, line or record, and column, for a malformed row.
    """
    header = read_header(path)
    if is_parquet(path):
        try:
            yield from _parquet_rows(path, header, name, numbers)
        except ValueError as error:  # pyarrow's own errors are ValueErrors
            raise UserError(f"{path} cannot be read ({str(error).splitlines()[0]}).") from error
        return
    rows: list[tuple[int, list[str]]] = []
    for line, row in _text_rows(path, len(header)):
        rows.append((line, row))
        if len(rows) * (len(numbers) + 1) >= BLOCK:
            yield _parse(path, header, rows, name, numbers)
            rows = []
    if rows:
        yield _parse(path, header, rows, name, numbers)


def read_texts(path: Path, columns: list[int]) -> Iterator[list[str]]:
    """Yield the texts of some columns (from 0) of each row, empty where a field is.

    Raises:
        UserError: with file and line, for a malformed row.
    """
    header = read_header(path)
    if is_parquet(path):
        wanted = [header[column] for column in columns]
        for batch in _open_parquet(path).iter_batches(columns=wanted):
            fields = (batch.column(name).to_pylist() for name in wanted)
            for row in zip(*fields, strict=True):
                yield [_text(value) for value in row]
        return
    for _, row in _text_rows(path, len(header)):
        yield [row[column] for column in columns]


def _text_rows(path: Path, width: int) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, fields) of all rows but the header."""
    for line, row in islice(textfile.read_rows(path), 1, None):
        if len(row) != width:
            raise UserError(
                f"{path}, line {line}: {say_count(len(row), 'column')} where the header has "
                f"{width}; a field "
                f"that holds the separator stands in quotes."
            )
        yield line, row


def _parse(
    path: Path, header: list[str], rows: list, name: int, numbers: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    def where(i: int) -> str:
        return _where(path, f"line {rows[i // len(numbers)][0]}", header, numbers[i % len(numbers)])

    names = [
        parse_name(row[name].strip(), _where(path, f"line {line}", header, name))
        for line, row in rows
    ]
    if not numbers:
        return np.array(names), np.empty((len(rows), 0), np.float32)
    pick = itemgetter(*numbers, *numbers[:1])  # always more than one, so that it is a tuple
    values = parse_numbers([field for _, row in rows for field in pick(row)[:-1]], where)
    return np.array(names), values.reshape(len(rows), len(numbers))


def _where(path: Path, row: str, header: list[str], column: int) -> str:
    return f"{path}, {row}, column {column + 1} ('{header[column]}')"


def _text(value: object) -> str:
    """Return a Parquet value as text; a column of type binary holds bytes."""
    if isinstance(value, bytes):
        return value.decode(errors="surrogateescape")
    return "" if value is None else str(value).strip()


def _open_parquet(path: Path):
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise UserError(
            f"{path}: to read Parquet needs pyarrow: pip install 'landmarks[parquet]'."
        ) from error
    try:
        return ParquetFile(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a Parquet file ({str(error).splitlines()[0]}).") from error


def _parquet_rows(
    path: Path, header: list[str], name: int, numbers: list[int]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    from pyarrow import types

    file = _open_parquet(path)
    for column in numbers:
        kind = file.schema_arrow.field(column).type
        if not (types.is_integer(kind) or types.is_floating(kind) or types.is_null(kind)):
            raise UserError(
                f"{path}, column {column + 1} ('{header[column]}'): numbers belong here; found "
                f"{kind}."
            )
    kind = file.schema_arrow.field(name).type
    if types.is_nested(kind):
        raise UserError(
            f"{path}, column {name + 1} ('{header[name]}'): names of image files belong here; "
            f"found {kind}: write the images to files."
        )
    first = 1
    wanted = [header[column] for column in (name, *numbers)]
    for batch in file.iter_batches(max(1, BLOCK // len(wanted)), columns=wanted):
        names = [
            parse_name(_text(text), _where(path, f"record {row}", header, name))
            for row, text in enumerate(batch.column(header[name]).to_pylist(), start=first)
        ]
        values = np.empty((len(names), len(numbers)), np.float32)
        for i, column in enumerate(numbers):
            # Nulls become NaN.
            exact = batch.column(header[column]).to_numpy(zero_copy_only=False).astype(np.float64)
            bad = np.flatnonzero(np.abs(exact) > FLOAT32_MAX)
            if len(bad):
                where = _where(path, f"record {first + bad[0]}", header, column)
                raise UserError(f"{where}: '{exact[bad[0]]}' is not a number.")
            values[:, i] = exact
        yield np.array(names), values
        first += len(names)
