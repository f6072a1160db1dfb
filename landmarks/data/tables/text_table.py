"""A text table: its header and its rows, plain ones parsed block by block on all cores."""

import csv
import io
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import as_strided

from landmarks.data.reading import text_file as textfile
from landmarks.data.reading.in_threads import map_in_order
from landmarks.data.reading.text_fields import NO_VALUE, parse_name, parse_numbers
from landmarks.data.tables.decimals import CHARACTERS, PAD, parse_decimals
from landmarks.data.tables.landmarks_csv import MISSING, NUMBER
from landmarks.data.tables.table_columns import NAMES, parse_column
from landmarks.errors import UserError, say_some

Row = tuple[int, list[str]]  # number of its line, fields
MAX_HEADER = 5  # rows that are looked at for DeepLabCut's header; it has three or four
BLOCK = 1 << 20  # bytes parsed at once; more would not fit a core's cache
MAX_LEFT = 1 / 16  # of a block's numbers: more that `decimals` leaves over are faster by pandas
MAX_NAME = 1024  # characters
NEWLINE, QUOTE = b"\n"[0], b'"'[0]
# A name without these, nor these doubled, nor a slash at its start, stays in its folder.
SUSPECT = b"\\:"
DOUBLED = b"./"  # the first and the last
SLASH = b"/"[0]
MIN_PRINTED, MAX_ASCII = 0x21, 0x7E


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


class NotPlainError(Exception):
    """A block is not plain: the exact reader goes on from the rows that were yielded."""


class _Form(NamedTuple):
    """What a block is parsed by: the separator of fields, their number, and the wanted columns."""

    mark: str
    width: int
    name: int
    numbers: list[int]


class _Fields(NamedTuple):
    """A block's text (L,) uint8, and where the signs before its fields (n, width) and behind them
    stand."""

    text: np.ndarray
    befores: np.ndarray
    ends: np.ndarray


def read_plain(
    path: Path, header: list[str], name: int, numbers: list[int]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield names (n,) bytes and numbers (n, m) float32, NaN where empty, in bounded memory.

    Args:
        header: names of the columns; the first line of the file, perhaps without the first of them.
        name, numbers: see `landmarks.data.tables.table_rows.read_rows`.

    Raises:
        NotPlainError: at a block that this does not read.
    """
    mark = find_plain(path, header)
    if mark is None or not numbers:
        raise NotPlainError
    form = _Form(mark, len(header), name, numbers)
    yield from map_in_order(lambda block: _parse(block, form), _blocks(path))


def _blocks(path: Path) -> Iterator[bytes]:
    """Yield whole lines below the first one, about BLOCK bytes at once."""
    with path.open("rb") as file:
        file.readline()
        rest = b""
        while block := file.read(BLOCK):
            cut = block.rfind(b"\n") + 1
            if cut:
                yield rest + block[:cut]
            rest = block[cut:] if cut else rest + block
        if rest.strip():
            yield rest + b"\n"


def _parse(block: bytes, form: _Form) -> tuple[np.ndarray, np.ndarray]:
    mark = form.mark.encode()
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n")
    if b"\r" in block or b"\0" in block:
        raise NotPlainError
    if b'"' in block:
        block = _unquote(block, mark)
    fields = _find_fields(block, mark, form.width)
    if fields is None:  # perhaps for its empty lines
        lines = [line for line in block.split(b"\n") if line]
        block = b"\n".join([*lines, b""])
        fields = _find_fields(block, mark, form.width)
    if fields is None:
        raise NotPlainError
    names = _read_names(fields, form.name)
    values = _read_numbers(fields, form.numbers)
    return names, _parse_by_pandas(block, form, len(names)) if values is None else values


def _unquote(block: bytes, mark: bytes) -> bytes:
    """Return a block without quotes about whole fields; a sign within would part these wrongly,
    which `_find_fields` sees by their number."""
    text = np.frombuffer(b"\n" + block, np.uint8)
    quotes = np.flatnonzero(text == QUOTE)
    if len(quotes) % 2:
        raise NotPlainError
    for beside in (text[quotes[::2] - 1], text[quotes[1::2] + 1]):
        if ((beside != NEWLINE) & (beside != mark[0])).any():
            raise NotPlainError
    return block.replace(b'"', b"")


def _find_fields(block: bytes, mark: bytes, width: int) -> _Fields | None:
    """Return a block's fields; None if not each of its lines has as many."""
    text = np.frombuffer(b"\0" * (PAD - 1) + b"\n" + block + b"\0" * MAX_NAME, np.uint8)
    are_ends = text == NEWLINE
    rows = np.count_nonzero(are_ends) - 1
    are_ends |= text == mark[0]
    places = np.flatnonzero(are_ends)
    if len(places) != rows * width + 1 or (text[places[::width]] != NEWLINE).any():
        return None
    return _Fields(text, places[:-1].reshape(rows, width), places[1:].reshape(rows, width))


def _read_names(fields: _Fields, column: int) -> np.ndarray:
    starts = fields.befores[:, column] + 1
    counts = fields.ends[:, column] - starts
    longest = int(counts.max(initial=1))
    if not counts.all() or longest > MAX_NAME:
        raise NotPlainError
    text = fields.text
    names = as_strided(text[:longest].view(f"S{longest}"), (len(text) - longest + 1,), (1,))[starts]
    letters = names.view(np.uint8).reshape(-1, longest)
    if counts.min(initial=longest) < longest:
        letters[np.arange(longest) >= counts[:, None]] = 0
    last = text[fields.ends[:, column] - 1]
    are_simple = (last >= MIN_PRINTED).all() and _are_simple(letters)
    return names if are_simple else _check_names(names)


def _are_simple(letters: np.ndarray) -> bool:
    """Return whether no name (n, L) leads out of its folder, and all are of plain characters."""
    first, before, behind = letters[:, 0], letters[:, :-1], letters[:, 1:]
    are_doubled = (before == behind) & (before >= DOUBLED[0]) & (before <= DOUBLED[1])
    return not (
        (first < MIN_PRINTED).any()
        or (first == SLASH).any()
        or (letters > MAX_ASCII).any()
        or any((letters == sign).any() for sign in SUSPECT)
        or are_doubled.any()
    )


def _check_names(names: np.ndarray) -> np.ndarray:
    """Return names (n,) bytes as the exact reader takes them, one by one."""
    try:
        return np.array([parse_name(name.decode().strip(), "") for name in names.tolist()])
    except (UserError, UnicodeDecodeError) as error:
        raise NotPlainError from error


def _read_numbers(fields: _Fields, columns: list[int]) -> np.ndarray | None:
    """Return the numbers (n, m) of some columns; None: pandas is to parse them."""
    first, count = columns[0], len(columns)
    is_run = columns == list(range(first, first + count))
    some = slice(first, first + count) if is_run else columns
    befores, ends = (it[:, some].ravel() for it in (fields.befores, fields.ends))
    if 2 * np.count_nonzero(ends - befores > 2 * CHARACTERS + 1) > len(ends):
        return None
    values, left = parse_decimals(fields.text, befores, ends)
    if len(left) > MAX_LEFT * len(values):
        return None
    if len(left):
        written = fields.text.tobytes()
        places = zip(befores[left].tolist(), ends[left].tolist(), strict=True)
        texts = [written[before + 1 : end].decode(errors="replace") for before, end in places]
        values[left] = _read_exactly(texts)
    return values.reshape(-1, count)


def _read_exactly(texts: list[str]) -> np.ndarray:
    try:
        return parse_numbers(texts, lambda _: "")
    except UserError as error:
        raise NotPlainError from error


def _parse_by_pandas(block: bytes, form: _Form, count: int) -> np.ndarray:
    try:
        table = pd.read_csv(
            io.BytesIO(block),
            sep=form.mark,
            header=None,
            names=range(form.width),
            usecols=form.numbers,
            na_values=MISSING,
            keep_default_na=False,
            skipinitialspace=True,
            low_memory=False,
            quoting=3,
            engine="c",
        )
    except ValueError as error:
        raise NotPlainError from error
    numbers = table[form.numbers]
    if len(table) != count or any(kind.kind not in "iuf" for kind in numbers.dtypes):
        raise NotPlainError
    with np.errstate(over="ignore"):  # beyond float32: infinite
        values = numbers.to_numpy(np.float32)
    if np.isinf(values).any():
        raise NotPlainError
    return np.ascontiguousarray(values)
