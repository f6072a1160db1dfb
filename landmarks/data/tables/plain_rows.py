"""Rows of a plain text table, parsed block by block on all cores, many times faster than field by
field.

Plain is a table of one header line, one separator, no quotes but about whole fields, and as many
fields in each row; all else is left to the exact reader, which also says what is wrong and
where. `decimals` parses a block's numbers; pandas does where they are longer or written otherwise.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import as_strided

from landmarks.data.reading.in_threads import map_in_order
from landmarks.data.reading.text_fields import parse_name, parse_numbers
from landmarks.data.tables.decimals import CHARACTERS, PAD, parse_decimals
from landmarks.data.tables.landmarks_csv import MISSING
from landmarks.data.tables.text_table import find_plain
from landmarks.errors import UserError

BLOCK = 1 << 20  # bytes parsed at once; more would not fit a core's cache
MAX_LEFT = 1 / 16  # of a block's numbers: more that `decimals` leaves over are faster by pandas
MAX_NAME = 1024  # characters
NEWLINE, QUOTE = b"\n"[0], b'"'[0]
# A name without these, nor these doubled, nor a slash at its start, stays in its folder.
SUSPECT = b"\\:"
DOUBLED = b"./"  # the first and the last
SLASH = b"/"[0]
MIN_PRINTED, MAX_ASCII = 0x21, 0x7E


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
