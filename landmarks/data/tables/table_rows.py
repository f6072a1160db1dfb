"""The rows of a table file, CSV, TSV or Parquet: file names and numbers, block by block."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from operator import itemgetter
from pathlib import Path

import numpy as np

from landmarks.data.reading.text_fields import parse_name, parse_numbers
from landmarks.data.reading.text_file import refuse_placeholder
from landmarks.data.tables.landmarks_csv import FLOAT32_MAX
from landmarks.data.tables.table_columns import NAMES
from landmarks.data.tables.text_table import NotPlainError, read_plain, read_table
from landmarks.errors import UserError, did_you_mean, say_count, say_some

# What to do about columns of structs and lists, as Hugging Face's data sets have them.
FLAT = (
    "write its images to files, and a table with a row a face: file_name, x_0, y_0, x_1, ... "
    "(data=table)"
)
BLOCK = 1 << 18  # fields parsed at once


def is_parquet(path: Path) -> bool:
    """Return whether a table's name says that it is Parquet."""
    return path.suffix.lower() in (".parquet", ".pq")


def find_nested(path: Path) -> list[str]:
    """Return the nested columns of a Parquet file, "keypoints (list<element: double>)"; none of
    what is no Parquet file."""
    if not is_parquet(path):
        return []
    fields = _open_parquet(path).schema_arrow
    from pyarrow import types

    return [f"{it.name} ({str(it.type)[:60]})" for it in fields if types.is_nested(it.type)]


def refuse_nested(path: Path) -> None:
    """Raise UserError if the file is Parquet with columns of structs or lists."""
    nested = find_nested(path)
    if nested:
        raise UserError(f"{path} has nested columns, {', '.join(nested[:5])}: {FLAT}.")


def read_header(path: Path) -> list[str]:
    """Return the names of a table's columns.

    Raises:
        UserError: if the file cannot be read as a table.
    """
    if is_parquet(path):
        return _open_parquet(path).schema_arrow.names
    return read_table(path)[0]


def read_first(path: Path) -> list[str]:
    """Return the texts of a text table's first row; of none, and of Parquet, no texts."""
    return [] if is_parquet(path) else next(read_table(path)[1], (0, []))[1]


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
        with _readable_parquet(path):
            yield from _parquet_rows(path, header, name, numbers)
        return
    done = 0
    try:
        for names, values in read_plain(path, header, name, numbers):
            done += len(names)
            yield names, values
        return
    except NotPlainError:
        pass  # read again, exactly: what is there may be right, or is told by line and column
    rows: list[tuple[int, list[str]]] = []
    for line, row in islice(_text_rows(path), done, None):
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
        with _readable_parquet(path):
            for batch in _open_parquet(path).iter_batches(columns=wanted):
                fields = (batch.column(name).to_pylist() for name in wanted)
                for row in zip(*fields, strict=True):
                    yield [_text(value) for value in row]
        return
    for _, row in _text_rows(path):
        yield [row[column] for column in columns]


def read_column(
    path: Path, column: str, names: np.ndarray, setting: str, table: str = "table"
) -> list[str]:
    """Return a column's text for each of the names (n,) bytes; empty where the table has no row.

    A name that stands several times in both takes the table's rows in their order.

    Args:
        path: of a table with a column of file names.
        column: its name.
        setting, table: the settings that name it and the table, for messages.

    Raises:
        UserError: if there is no such table or column.
    """
    if not path.is_file():
        raise UserError(f"{setting}: there is no table {path}; set {table}=FILE.")
    try:
        header = read_header(path)
        key = next((name for name in NAMES if name in map(str.casefold, header)), None)
        if key is None or column not in header:
            lost = "column of file names (file_name, image, ...)" if key is None else f"'{column}'"
            raise UserError(
                f"{path}, line 1: there is no {lost} ({setting}) among {say_some(header, 8)}."
                f"{did_you_mean(column, header)}"
            )
        place = [name.casefold() for name in header].index(key)
        found: dict[bytes, list[str]] = {}
        for name, text in read_texts(path, [place, header.index(column)]):
            found.setdefault(name.strip().encode(), []).append(text.strip())
    except OSError as error:
        raise UserError(f"{table}={path} cannot be read ({error.strerror}).") from error
    listed = {key: iter(texts) for key, texts in found.items()}
    last = {key: texts[-1] for key, texts in found.items()}
    return [next(listed.get(name, iter(())), last.get(name, "")) for name in names.tolist()]


def _text_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, fields) of all rows but the header."""
    header, rows = read_table(path)
    for line, row in rows:
        if len(row) != len(header):
            raise UserError(
                f"{path}, line {line}: {say_count(len(row), 'column')} where the header has "
                f"{len(header)}; a field that holds the separator stands in quotes."
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
    refuse_placeholder(path, "Parquet file")
    with _readable_parquet(path):
        return ParquetFile(path)


@contextmanager
def _readable_parquet(path: Path) -> Iterator[None]:
    """Say of pyarrow's errors that it was the file's fault."""
    try:
        yield
    except (OSError, ValueError, MemoryError) as error:
        if getattr(error, "errno", None) is not None:  # of the system
            raise
        reason = "".join(sign for sign in str(error).splitlines()[0][:150] if sign.isprintable())
        raise UserError(
            f"{path} is not a whole Parquet file ({reason}): it was damaged or not copied whole; "
            f"get it again."
        ) from error


def _parquet_rows(
    path: Path, header: list[str], name: int, numbers: list[int]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    from pyarrow import types

    file = _open_parquet(path)
    for column in (name, *numbers):
        if types.is_nested(file.schema_arrow.field(column).type):
            refuse_nested(path)
    for column in numbers:
        kind = file.schema_arrow.field(column).type
        if not (types.is_integer(kind) or types.is_floating(kind) or types.is_null(kind)):
            raise UserError(
                f"{path}, column {column + 1} ('{header[column]}'): numbers belong here; found "
                f"{kind}."
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
