"""`data=ibug`: 300-W and its like, images with a .pts file of the same name beside them."""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from landmarks.data.faces import Faces
from landmarks.data.fields import parse_numbers
from landmarks.data.folder_walk import IMAGE_ENDINGS, UNREAD_ENDINGS, ending, walk_files
from landmarks.data.formats.landmarks_csv import NUMBER
from landmarks.data.mapped import Arrays, map_faces, to_faces
from landmarks.data.photos import encode_names
from landmarks.data.reading import FileReading
from landmarks.data.recognise import refuse_other
from landmarks.errors import UserError, say_count
from landmarks.settings import flat

VERSION = 2
BLOCK = 256  # files parsed at once
COUNT = re.compile(r"(?:n_points\s*:\s*)?(\d+)")
HEAD = re.compile(r"(?:version\s*:.*|(?:n_points\s*:\s*)?\d+|)")  # also without braces


class Listed(NamedTuple):
    """A .pts file and its image, paths below root, and what tells that the file has changed."""

    points: str
    image: str
    size: int
    times: tuple[int, int]


@flat
def read_faces(
    root: str,
    *,
    test_folders: list[str] | None = None,
    one_based: bool = True,
    reading: FileReading,
) -> Faces:
    """Return the faces of all .pts files below a folder, in the order of their paths.

    Args:
        root: any tree of folders; that of 300-W holds afw, helen/trainset, helen/testset,
            lfpw/trainset, lfpw/testset and ibug.
        test_folders: names, or paths such as lfpw/testset, of folders anywhere below root: what
            lies in them is the test part, all else the training part; None: testset and ibug, as
            the 300-W protocol has it.
        one_based: the first pixel is (1, 1), as in MATLAB and in 300-W; False: (0, 0).

    A file's header and braces may be left out, as in many copies, or be a count of points alone.

    Raises:
        UserError: if there are no such files, one is malformed, or an image cannot be read.
    """
    folders = ["testset", "ibug"] if test_folders is None else test_folders
    base, part = Path(root), reading.part
    listed = _list_files(base, part, folders)
    if not listed:
        refuse_other(base, "ibug")
        raise UserError(
            f"No {part} faces in '{root}': .pts files beside their images are looked for in "
            f"all folders {'named' if part == 'test' else 'but'} {', '.join(folders) or 'none'}; "
            f"set data.root=FOLDER or data.test_folders=[NAME,...]."
        )
    state = "\n".join("\t".join(map(str, file)) for file in listed)
    source = {
        # Both parts of one root have caches of their own.
        "path": f"{base.resolve()}, {part} faces",
        "files": hashlib.sha256(os.fsencode(state)).hexdigest(),
        "one_based": one_based,
        "version": VERSION,
    }
    read, first = (lambda: _read(base, listed)), float(one_based)
    arrays = map_faces("ibug", source, read, reading, first_pixel=first)
    return to_faces(arrays, base, root, reading, linked=True)


def _list_files(root: Path, part: str, test_folders: list[str]) -> list[Listed]:
    listed = []
    for below, files in walk_files(str(root)):
        path = f"/{below.casefold()}/"
        is_test = any(f"/{name.strip('/').casefold()}/" in path for name in test_folders)
        if is_test != (part == "test"):
            continue
        images: dict[str, str] = {}
        # A picture that cannot be read is named where there is no other of that name.
        for kinds in (IMAGE_ENDINGS, UNREAD_ENDINGS):
            for file in files:
                if ending(file) in kinds:
                    images.setdefault(os.path.splitext(file)[0], file)  # noqa: PTH122
        for file in files:
            if ending(file) == ".pts":
                # Without an image, that of this name is reported missing.
                stem = os.path.splitext(file)[0]  # noqa: PTH122
                image = images.get(stem, f"{stem}.jpg")
                stat = os.stat(os.path.join(root, below, file))  # noqa: PTH116, PTH118 (thousands)
                prefix = f"{below}/" if below else ""
                times = stat.st_mtime_ns, stat.st_ctime_ns
                listed.append(Listed(prefix + file, prefix + image, stat.st_size, times))
    return sorted(listed)


def _read(root: Path, listed: list[Listed]) -> Iterator[Arrays]:
    first = 0  # K
    for start in range(0, len(listed), BLOCK):
        fields, places, names = [], [], []
        for file in listed[start : start + BLOCK]:
            path = root / file.points
            pairs = _read_pairs(path)
            first = first or len(pairs)
            if len(pairs) != first:
                raise UserError(
                    f"{path}, line {pairs[0][0]}: {say_count(len(pairs), 'point')} where "
                    f"{root / listed[0].points} has {first}; all faces need the same points."
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
        yield Arrays(encode_names(names, str(root)), points)


def _read_pairs(path: Path) -> list[tuple[int, list[str]]]:
    """Return (line, [x, y]) of each point of a .pts file, as text."""
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    lines = [line.strip() for line in text.splitlines()]
    begin, end = _find_body(path, lines)
    pairs = []
    for number, line in enumerate(lines[begin:end], start=begin + 1):
        pair = line.split()
        if len(pair) != 2 and pair:
            raise UserError(f"{path}, line {number}: x and y belong here; found '{line[:40]}'.")
        if pair:
            pairs.append((number, pair))
    for number, line in enumerate(lines[:begin], start=1):
        count = COUNT.fullmatch(line)
        if count and int(count[1]) != len(pairs):
            raise UserError(
                f"{path}, line {number}: n_points is {count[1]}, and "
                f"{say_count(len(pairs), 'point')} follow."
            )
    if not pairs:
        raise UserError(f"{path}, line {max(begin, 1)}: there are no points.")
    return pairs


def _find_body(path: Path, lines: list[str]) -> tuple[int, int]:
    """Return which lines may hold points: from, to, counted from 0."""
    if "{" in lines:
        begin = lines.index("{") + 1
        if "}" not in lines[begin:]:
            raise UserError(
                f"{path}, line {len(lines)}: the closing '}}' is missing; the file was cut off."
            )
        return begin, lines.index("}", begin)
    begin = next((i for i, line in enumerate(lines) if not HEAD.fullmatch(line)), len(lines))
    first = lines[begin].split() if begin < len(lines) else []
    if "}" in lines or not first or not all(map(NUMBER.fullmatch, first)):
        refuse_other(path, "ibug")
        raise UserError(
            f"{path}, line {begin + 1}: x and y of the first point belong here, or 'version', "
            f"'n_points' and '{{' before them; found '{lines[begin][:40] if first else ''}'."
        )
    return begin, len(lines)
