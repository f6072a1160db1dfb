"""Rows of a plain text table, parsed by pandas on all cores, many times faster than field by field.

Plain is a table of one header line, one sign between fields, no quotes, and as many fields in each
row; all else is left to the exact reader, which also says what is wrong and where.
"""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from landmarks.data.formats.landmarks_csv import MISSING
from landmarks.data.formats.text_table import find_plain
from landmarks.data.in_threads import map_in_order

BLOCK = 1 << 22  # bytes parsed at once
ODD = (b'"', b"\0")
BLANK_EDGE = re.compile(r"\n[^\S\n]|[^\S\n]\n")
# Where none of these stands between names, each a line, none leads out of its folder.
SUSPECT = ("\\", ":", "..", "//", "\n/", "\n\n")


class NotPlainError(Exception):
    """A block is not plain: the exact reader goes on from the rows that were yielded."""


class _Form(NamedTuple):
    """What a block is parsed by: the sign between fields, their number, and the wanted columns."""

    mark: str
    width: int
    name: int
    numbers: list[int]


def read_plain(
    path: Path, header: list[str], name: int, numbers: list[int]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield names (n,) bytes and numbers (n, m) float32, NaN where empty, in bounded memory.

    Args:
        header: names of the columns; the first line of the file, perhaps without the first of them.
        name, numbers: see `landmarks.data.formats.table_rows.read_rows`.

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
            yield rest


def _parse(block: bytes, form: _Form) -> tuple[np.ndarray, np.ndarray]:
    mark = form.mark.encode()
    lines = [line for line in block.split(b"\n") if line and line != b"\r"]
    returns = block.count(b"\r")
    is_odd = any(sign in block for sign in ODD) or returns != block.count(b"\r\n")
    if is_odd or {line.count(mark) for line in lines} - {form.width - 1}:
        raise NotPlainError
    try:
        table = pd.read_csv(
            io.BytesIO(block),
            sep=form.mark,
            header=None,
            names=range(form.width),
            usecols=[form.name, *form.numbers],
            dtype={form.name: object},
            na_values=dict.fromkeys(form.numbers, MISSING),
            keep_default_na=False,
            skipinitialspace=True,
            low_memory=False,
            quoting=3,
            engine="c",
        )
    except ValueError as error:
        raise NotPlainError from error
    return _names(table[form.name].tolist()), _numbers(table, form, len(lines))


def _numbers(table: pd.DataFrame, form: _Form, count: int) -> np.ndarray:
    numbers = table[form.numbers]
    if len(table) != count or any(kind.kind not in "iuf" for kind in numbers.dtypes):
        raise NotPlainError
    with np.errstate(over="ignore"):  # beyond float32: infinite
        values = numbers.to_numpy(np.float32)
    if np.isinf(values).any():
        raise NotPlainError
    return np.ascontiguousarray(values)


def _names(names: list[str]) -> np.ndarray:
    joined = "\n".join(["", *names, ""])
    if any(sign in joined for sign in SUSPECT) or BLANK_EDGE.search(joined):
        raise NotPlainError
    return np.array([name.encode() for name in names])
