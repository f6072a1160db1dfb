"""Text files with the points of one face each: .pts files, and lists of x and y."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from landmarks.data.caches.mapped_faces import Arrays
from landmarks.data.images.photos import encode_names
from landmarks.data.reading.format_signatures import refuse_other
from landmarks.data.reading.label_file_trees import LabelFile
from landmarks.data.reading.text_fields import NO_VALUE, parse_numbers
from landmarks.data.reading.text_file import SEPARATORS, refuse_binary
from landmarks.data.tables.landmarks_csv import NUMBER
from landmarks.errors import UserError, say_count

BLOCK = 256  # files parsed at once
COUNT = re.compile(r"(?:n_points\s*:\s*)?(\d+)")
HEAD = re.compile(r"(?:version\s*:.*|(?:n_points\s*:\s*)?\d+|)")  # also without braces


def read_files(root: Path, listed: list[LabelFile], images: Path, kind: str) -> Iterator[Arrays]:
    """Yield the faces of text files, one a file, block by block.

    Args:
        root, images: the folders that the files' and the images' paths start from.
        kind: the last word of data=..., for messages.

    A file may hold n_points and braces, as .pts files do, a count of the points, or neither. x and
    y stand in a line of their own, separated by spaces or another separator.

    Raises:
        UserError: with file, line and column, for a malformed file.
    """
    first = 0  # K
    for start in range(0, len(listed), BLOCK):
        fields, places, names = [], [], []
        for file in listed[start : start + BLOCK]:
            path = root / file.path
            pairs = _read_pairs(path, kind)
            first = first or len(pairs)
            if len(pairs) != first:
                raise UserError(
                    f"{path}, line {pairs[0][0]}: {say_count(len(pairs), 'point')} where "
                    f"{root / listed[0].path} has {first}; all faces need the same points."
                )
            for line, pair in pairs:
                fields += pair
                places.append((path, line))
            names.append(file.image)
        values = parse_numbers(
            fields,
            lambda i, at=places: "{}, line {}, column {}".format(*at[i // 2], i % 2 + 1),
        )
        points = values.reshape(len(names), first, 2)
        points[np.isnan(points).any(axis=2)] = np.nan
        yield Arrays(encode_names(names, str(images)), points)


def holds_points(path: Path) -> bool:
    """Say whether a text file may hold points: by its ending, or because it begins with numbers."""
    if path.suffix.lower() == ".pts":
        return True
    with path.open(encoding="utf-8-sig", errors="replace") as text:
        begin = text.read(200).split("\n")
    first = next((line.strip() for line in begin if line.strip()), "")
    return HEAD.fullmatch(first) is not None or all(map(NUMBER.fullmatch, _split(first)))


def _read_pairs(path: Path, kind: str) -> list[tuple[int, list[str]]]:
    """Return (line, [x, y]) of each point of a file, as text."""
    refuse_binary(path)
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    lines = [line.strip() for line in text.splitlines()]
    begin, end = _find_body(path, lines, kind)
    pairs = []
    for number, line in enumerate(lines[begin:end], start=begin + 1):
        pair = _split(line)
        if len(pair) != 2 and pair:
            raise UserError(f"{path}, line {number}: x and y belong here; found '{line[:40]}'.")
        if pair:
            pairs.append((number, pair))
    for number, line in enumerate(lines[:begin], start=1):
        count = COUNT.fullmatch(line)
        if count and count[1].lstrip("0") != (str(len(pairs)) if pairs else ""):
            raise UserError(
                f"{path}, line {number}: n_points is {count[1][:40]}, and "
                f"{say_count(len(pairs), 'point')} follow."
            )
    if not pairs:
        raise UserError(f"{path}, line {max(begin, 1)}: there are no points.")
    return pairs


def _split(line: str) -> list[str]:
    """Return the fields of a line: spaces or, where there are none, a separator stand between."""
    fields = line.split()
    sign = next((sign for sign in SEPARATORS if sign in line), None)
    is_parted = len(fields) == 2 and fields[0][-1] != sign != fields[1][0]
    if sign is None or is_parted:
        return fields
    return [field.strip() for field in line.split(sign)]


def _find_body(path: Path, lines: list[str], kind: str) -> tuple[int, int]:
    """Return which lines may hold points: from, to, counted from 0."""
    if "{" in lines:
        begin = lines.index("{") + 1
        if "}" not in lines[begin:]:
            raise UserError(
                f"{path}, line {len(lines)}: the closing '}}' is missing; the file was cut off."
            )
        return begin, lines.index("}", begin)
    begin = next((i for i, line in enumerate(lines) if not HEAD.fullmatch(line)), len(lines))
    first = _split(lines[begin]) if begin < len(lines) else []
    # A decimal comma is refused as such, later.
    are_numbers = all(it in NO_VALUE or NUMBER.fullmatch(it.replace(",", ".")) for it in first)
    if len(first) != 2 or not are_numbers:
        refuse_other(path, kind)
    if "}" in lines or not first or not are_numbers:
        raise UserError(
            f"{path}, line {begin + 1}: x and y of the first point belong here, or 'version', "
            f"'n_points' and '{{' before them; found '{lines[begin][:40] if first else ''}'."
        )
    return begin, len(lines)
