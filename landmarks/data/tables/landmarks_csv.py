"""landmarks.csv -> a memory-mapped (N, K, 2) array, read once in bounded memory."""

import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from landmarks.data.caches.cache_folder import cached, describe_source
from landmarks.data.faces import check_names
from landmarks.data.reading.in_threads import map_in_order
from landmarks.data.reading.pixels_or_fractions import Doubts, MissingName
from landmarks.data.reading.text_file import find_delimiter, refuse_binary
from landmarks.errors import UserError

VERSION = 2
BLOCK = 1 << 20  # bytes of text parsed at once
HEADER = re.compile(r"(.*?)(\d+)_([XY])", re.IGNORECASE)
NUMBER = re.compile(r" *[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)? *", re.IGNORECASE | re.ASCII)
FLOAT32_MAX = float(np.finfo(np.float32).max)
MISSING = ["", "nan", "NaN", "-nan", "-NaN", "NA", "N/A", "n/a", "null", "NULL"]


def map_labels(
    path: Path, cache_dir: str | None = None, missing: MissingName = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the names (N,) bytes and points (N, K, 2) float32 of a TAB-separated label file.

    The first call reads the text and writes the arrays to the cache; later ones map them, as long
    as the file's path, size and modification time are the same. An empty field or "nan" is NaN.

    Raises:
        UserError: with file, line and column, for a malformed file.
    """
    source = {**describe_source(path, VERSION), "missing": missing}
    folder, note = cached("labels", source, lambda aside: _build(path, aside, missing), cache_dir)
    shape = (note["rows"], note["points"], 2)
    names = np.load(folder / "names.npy", mmap_mode="r")
    return names, np.memmap(folder / "points.f32", np.float32, mode="r", shape=shape)


def _build(path: Path, aside: Path, missing: MissingName) -> dict:
    names, doubts = [], Doubts(missing, None)
    refuse_binary(path)
    with path.open("rb") as text, (aside / "points.f32").open("wb") as out:
        num_points = _check_header(path, text.readline())
        for block_names, values in _parse_all(path, _blocks(text), num_points):
            names.append(block_names)
            out.write(doubts.clear(values.reshape(len(values), num_points, 2), None))
    names = np.concatenate(names) if names else np.array([], dtype=bytes)
    if not len(names):
        raise UserError(f"{path} holds a header and no faces.")
    check_names(names, str(path))
    doubts.ask(str(path))
    np.save(aside / "names.npy", names)
    return {"rows": len(names), "points": num_points}


def read_points(path: Path, separator: str) -> tuple[int, Iterator[tuple[np.ndarray, np.ndarray]]]:
    """Return K, and an iterator of names (n,) bytes and points (n, K, 2) float32, block by block.

    Args:
        path: a text of the columns file_name, Point_0_X, Point_0_Y, ..., without quotes.
        separator: between its columns.

    Raises:
        UserError: with file, line and column, for a malformed file.
    """
    with path.open("rb") as text:
        num_points = _check_header(path, text.readline().replace(separator.encode(), b"\t"))

    def blocks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        with path.open("rb") as text:
            text.readline()
            lines = _blocks(text)
            if separator != "\t":
                mark = separator.encode()
                lines = (
                    (first, [line.replace(mark, b"\t") for line in some]) for first, some in lines
                )
            for names, values in _parse_all(path, lines, num_points):
                yield names, values.reshape(len(names), num_points, 2)

    return num_points, blocks()


def _check_header(path: Path, line: bytes) -> int:
    """Return K, or say what is wrong with the first line."""
    whole = line.rstrip(b"\r\n")
    if b"\r" in whole:
        raise UserError(
            f"{path}: its lines end in CR alone, as on old Macs; save it with lines that end in LF."
        )
    header = whole.decode("utf-8-sig", errors="replace").split("\t")
    if len(header) < 3:
        other = find_delimiter(header[0])
        if header[0].count(other) > 1:
            raise UserError(
                f"{path}, line 1: columns are separated by '{other}' where TABs belong; save the "
                f"file TAB-separated."
            )
        raise UserError(
            f"{path}, line 1: file_name, Point_0_X, Point_0_Y, ... belong here, TAB-separated; "
            f"found '{header[0][:60]}'."
        )
    for column, name in enumerate(header[1:], start=2):
        index, axis = divmod(column - 2, 2)
        match = HEADER.fullmatch(name.strip())
        number = match and (match[2].lstrip("0") or "0")
        if number != str(index) or match[3].upper() != "XY"[axis]:
            raise UserError(
                f"{path}, line 1, column {column}: 'Point_{index}_{'XY'[axis]}' belongs here; "
                f"found '{name[:60]}'."
            )
    if len(header) % 2 == 0:
        raise UserError(
            f"{path}, line 1: the column Point_{len(header) // 2 - 1}_Y is missing behind "
            f"'{header[-1][:60]}'."
        )
    return (len(header) - 1) // 2


def _blocks(text) -> Iterator[tuple[int, list[bytes]]]:
    """Yield (number of the first line, whole lines) of about BLOCK bytes each."""
    first = 2
    lines = text.readlines(BLOCK)
    while lines:
        following = text.readlines(BLOCK)
        while not following and lines and not lines[-1].strip():
            lines.pop()  # empty lines at the end of the file are no faces
        yield first, lines
        first += len(lines)
        lines = following


def _parse_all(path: Path, blocks: Iterable, num_points: int) -> Iterator[tuple]:
    return map_in_order(lambda block: _parse(path, *block, num_points), blocks)


def _parse(path: Path, first: int, lines: list[bytes], num_points: int) -> tuple:
    """Return names (n,) bytes and values (n, 2K) float32 of some lines."""
    if not lines:
        return np.array([], dtype=bytes), np.empty((0, 2 * num_points), np.float32)
    names, bodies = [], []
    for number, line in enumerate(lines, start=first):
        name, _, body = line.rstrip(b"\r\n").partition(b"\t")
        if not line.strip():
            raise UserError(f"{path}, line {number}: the line is empty; delete it.")
        fields = body.count(b"\t") + 2 if body else 1
        if fields != 2 * num_points + 1:
            raise UserError(
                f"{path}, line {number}, column {min(fields, 2 * num_points + 1) + 1}: the line "
                f"has {fields} columns where the header has {2 * num_points + 1}."
            )
        names.append(name)
        bodies.append(body)
    try:
        # 1,942 columns would cost pandas a Series each: as one long column the same text is read
        # several times faster. The 0 before and the TAB behind keep empty fields at the ends.
        with np.errstate(over="ignore"):  # beyond float32: infinite, refused below
            column = pd.read_csv(
                io.BytesIO(b"\t".join([b"0", *bodies, b""])),
                header=None,
                lineterminator="\t",
                skip_blank_lines=False,
                keep_default_na=False,
                na_values=MISSING,
                low_memory=False,
                quoting=3,
                dtype=np.float32,
                engine="c",
            )[0]
        values = column.to_numpy()[1:].reshape(len(names), 2 * num_points)
        if np.isinf(values).any():
            raise ValueError
    except ValueError:
        _find_fault(path, first, lines)
        raise
    return np.array(names), values


def _find_fault(path: Path, first: int, lines: list[bytes]) -> None:
    """Raise UserError for the first field of these lines that is not a finite number."""
    for number, line in enumerate(lines, start=first):
        for column, field in enumerate(line.rstrip(b"\r\n").split(b"\t")[1:], start=2):
            text = field.decode(errors="replace")
            refuse_field(text, f"{path}, line {number}, column {column}")


def refuse_field(text: str, where: str) -> None:
    """Raise UserError, starting with `where`, if a field is neither a finite number nor missing."""
    if text in MISSING or (NUMBER.fullmatch(text) and abs(float(text)) <= FLOAT32_MAX):
        return
    advice = "; decimals follow a point" if NUMBER.fullmatch(text.replace(",", ".")) else ""
    raise UserError(f"{where}: '{text[:40]}' is not a number{advice}.")
