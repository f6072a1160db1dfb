"""`data=points`: a text file of x and y a face, beside its image or in a folder of its own."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from landmarks.data.caches.mapped_faces import Arrays, map_faces, to_faces
from landmarks.data.faces import Faces
from landmarks.data.images.photos import encode_names
from landmarks.data.reading.folder_walk import IMAGE_ENDINGS, ending, walk_files
from landmarks.data.reading.format_signatures import refuse_other
from landmarks.data.reading.label_file_per_image import LabelFile, LabelTree, open_part
from landmarks.data.reading.reader_arguments import FileReading
from landmarks.data.reading.text_fields import NO_VALUE, parse_numbers
from landmarks.data.reading.text_file import SEPARATORS, refuse_binary
from landmarks.data.tables.landmarks_csv import NUMBER
from landmarks.errors import UserError, say_count
from landmarks.settings import flat

BLOCK = 256  # files parsed at once
COUNT = re.compile(r"(?:n_points\s*:\s*)?(\d+)")
HEAD = re.compile(r"(?:version\s*:.*|(?:n_points\s*:\s*)?\d+|)")  # also without braces
VERSION = 3
SAMPLE = 2000  # folders, and files of each, whose names are looked at for the suffix
ENDINGS = (".pts", ".txt", ".lms", ".points", ".csv")  # of files of points


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


@flat
def read_faces(
    root: str,
    *,
    tree: LabelTree,
    suffix: str | None = None,
    one_based: bool = False,
    reading: FileReading,
) -> Faces:
    """Return the faces of all text files of points below a folder, in the order of their paths.

    Args:
        root: any tree of folders.
        tree: see `LabelTree`.
        suffix: what a text file's name has behind that of its image: .txt, _ldmks.txt, .jpg.txt;
            None: it is found by the images' names.
        one_based: the first pixel is (1, 1), as in .pts files; False: (0, 0).

    A file may begin with a count of its points, or with a header and a brace, as .pts files do.

    Raises:
        UserError: if there are no such files, one is malformed, or an image cannot be read.
    """
    suffix = _find_suffix(root, tree.images) if suffix is None else suffix.lower()
    return read_point_files("points", root, suffix, tree, one_based, reading)


def read_point_files(
    kind: str, root: str, suffix: str, tree: LabelTree, one_based: bool, reading: FileReading
) -> Faces:
    """Return the faces of text files, see `read_faces`; `kind` is the last word of data=...."""
    listed, source = open_part(root, suffix, reading.part, tree, kind, holds_points)
    source |= {"one_based": one_based, "version": VERSION}
    folder = tree.images_from(root)
    arrays = map_faces(
        kind,
        source,
        lambda: read_files(Path(root), listed, folder, kind),
        reading,
        first_pixel=float(one_based),
    )
    return to_faces(arrays, folder, root, reading, linked=True, named_by="data.images")


def _find_suffix(root: str, images: str | None) -> str:
    """Return what follows the images' names in the names of files of points.

    Raises:
        UserError: if there are no such files, or it is one thing here and another there.
    """
    names = {name for name in _first_files(images or root) if ending(name) in IMAGE_ENDINGS}
    names |= {name.rpartition(".")[0] for name in names}
    texts = [name for name in _first_files(root) if ending(name) in ENDINGS]
    found: Counter = Counter()
    for name in texts:
        cuts = [i for i, sign in enumerate(name) if sign in "._-"]
        cut = next((i for i in reversed(cuts) if name[:i] in names), None)
        if cut is not None:
            found[name[cut:].lower()] += 1
    if not found:  # the images are reported missing
        found.update(ending(name) for name in texts)
    if len(found) > 1:
        listed = ", ".join(sorted(found))
        raise UserError(
            f"'{root}': names of text files end in {listed} behind the images' names; name the one "
            f"that holds points with data.suffix={found.most_common(1)[0][0]}."
        )
    if not found:
        refuse_other(Path(root), "points")
        raise UserError(
            f"No text files ({', '.join(ENDINGS)}) in '{root}': one a face is looked for at any "
            f"depth; set data.root=FOLDER or data.suffix=ENDING."
        )
    return next(iter(found))


def _first_files(root: str) -> Iterator[str]:
    """Yield the names of the first files of each of the first folders."""
    for _, files in islice(walk_files(root), SAMPLE):
        yield from files[:SAMPLE]
