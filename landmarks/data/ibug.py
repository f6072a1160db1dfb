"""`data=ibug`: 300-W and its like, images with a .pts file of the same name beside them."""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from landmarks.data.faces import CacheName, Faces
from landmarks.data.fields import parse_numbers
from landmarks.data.images import IMAGE_ENDINGS
from landmarks.data.mapped import Arrays, Asked, map_faces, to_faces
from landmarks.data.recognise import refuse_other
from landmarks.errors import UserError
from landmarks.settings import PositiveInt

VERSION = 1
BLOCK = 256  # files parsed at once
COUNT = re.compile(r"n_points:\s*(\d+)")


class Listed(NamedTuple):
    """A .pts file and its image, paths below root, and what tells that the file has changed."""

    points: str
    image: str
    size: int
    mtime_ns: int


def read_faces(
    root: str,
    *,
    part: Literal["train", "test"] = "train",
    test_folders: list[str] | None = None,
    one_based: bool = True,
    cache_dir: str | None = None,
    limit: PositiveInt | None = None,
    on_error: Literal["stop", "skip"] = "stop",
    cache: CacheName = "auto",
    exclude: str | None = None,
) -> Faces:
    """Return the faces of all .pts files below a folder, in the order of their paths.

    Args:
        root: any tree of folders; that of 300-W holds afw, helen/trainset, helen/testset,
            lfpw/trainset, lfpw/testset and ibug.
        part: "test": the faces that lie in one of the test folders; "train": all others.
        test_folders: names, or paths such as lfpw/testset, of folders anywhere below root; None:
            testset and ibug, as the 300-W protocol has it.
        one_based: the first pixel is (1, 1), as in MATLAB and in 300-W; False: (0, 0).
        cache_dir: where the points are kept in binary; None: the user's cache folder.
        limit: only so many faces, the first ones; None: all.
        on_error: "stop" at missing or unreadable images with their list, or "skip" them.

    Raises:
        UserError: if there are no such files, one is malformed, or an image cannot be read.
    """
    folders = ["testset", "ibug"] if test_folders is None else test_folders
    base = Path(root)
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
    arrays = map_faces("ibug", source, lambda: _read(base, listed, one_based), cache_dir)
    asked = Asked(part, limit, on_error, cache, cache_dir, exclude)
    return to_faces(arrays, base, root, asked)


def _list_files(root: Path, part: str, test_folders: list[str]) -> list[Listed]:
    listed = []
    for folder, _, files in os.walk(root):
        below = Path(folder).relative_to(root).as_posix()
        path = f"/{below.casefold()}/"
        is_test = any(f"/{name.strip('/').casefold()}/" in path for name in test_folders)
        if is_test != (part == "test"):
            continue
        images: dict[str, str] = {}
        for file in sorted(files):
            stem, dot, ending = file.rpartition(".")
            if dot + ending.lower() in IMAGE_ENDINGS:
                images.setdefault(stem, file)
        for file in files:
            stem, dot, ending = file.rpartition(".")
            if dot + ending.lower() == ".pts":
                # Without an image, that of this name is reported missing.
                image = images.get(stem, f"{stem}.jpg")
                stat = os.stat(os.path.join(folder, file))  # noqa: PTH116, PTH118 (thousands)
                prefix = "" if below == "." else f"{below}/"
                listed.append(Listed(prefix + file, prefix + image, stat.st_size, stat.st_mtime_ns))
    return sorted(listed)


def _read(root: Path, listed: list[Listed], one_based: bool) -> Iterator[Arrays]:
    first = 0  # K
    for start in range(0, len(listed), BLOCK):
        fields, places, names = [], [], []
        for file in listed[start : start + BLOCK]:
            path = root / file.points
            pairs = _read_pairs(path)
            first = first or len(pairs)
            if len(pairs) != first:
                raise UserError(
                    f"{path}, line {pairs[0][0]}: {len(pairs)} points where "
                    f"{root / listed[0].points} has {first}; all faces need the same points."
                )
            for line, pair in pairs:
                fields += pair
                places.append((path, line))
            try:
                names.append(file.image.encode())
            except UnicodeEncodeError as error:
                raise UserError(f"{path}: the file name is not UTF-8; rename it.") from error
        values = parse_numbers(
            fields,
            lambda i, at=places: "{}, line {}, column {}".format(*at[i // 2], i % 2 + 1),
        )
        points = values.reshape(len(names), first, 2) - np.float32(one_based)
        points[np.isnan(points).any(axis=2)] = np.nan
        yield Arrays(np.array(names), points)


def _read_pairs(path: Path) -> list[tuple[int, list[str]]]:
    """Return (line, [x, y]) of each point of a .pts file, as text."""
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    stripped = [line.strip() for line in lines]
    if "{" not in stripped:
        refuse_other(path, "ibug")
        raise UserError(
            f"{path}, line 1: 'version', 'n_points' and '{{' belong here; found "
            f"'{lines[0][:40] if lines else ''}'."
        )
    begin = stripped.index("{")
    if "}" not in stripped[begin:]:
        raise UserError(
            f"{path}, line {len(lines)}: the closing '}}' is missing; the file was cut off."
        )
    end = stripped.index("}", begin)
    pairs = []
    for number, line in enumerate(stripped[begin + 1 : end], start=begin + 2):
        pair = line.split()
        if len(pair) != 2 and pair:
            raise UserError(f"{path}, line {number}: x and y belong here; found '{line[:40]}'.")
        if pair:
            pairs.append((number, pair))
    for number, line in enumerate(stripped[:begin], start=1):
        count = COUNT.fullmatch(line)
        if count and int(count[1]) != len(pairs):
            raise UserError(
                f"{path}, line {number}: {count[1]} points are named, {len(pairs)} follow."
            )
    if not pairs:
        raise UserError(f"{path}, line {begin + 1}: there are no points.")
    return pairs
