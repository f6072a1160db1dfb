"""Finds file names that differ only in case, slashes, blanks, accents, ending or folder."""

import os
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path

from landmarks.data.reading.folder_walk import IMAGE_ENDINGS, UNREAD_ENDINGS

# Differences between names: in words, and the function that removes them.
CHANGES: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("with / for \\", lambda name: name.replace("\\", "/").removeprefix("./")),
    ("without blanks about it", str.strip),
    ("with its accents in another Unicode form", lambda name: unicodedata.normalize("NFC", name)),
    ("in other capitals", str.casefold),
    ("with another ending", lambda name: name.rpartition(".")[0] or name),
    ("in another folder", lambda name: name.rpartition("/")[2]),
)
SAMPLE = 1000  # missing names that are looked for; the rest are so alike


def say_near(names: list[str], there: Iterable[str]) -> str:
    """Return a sentence with the name of those `there` that is nearest to a missing one."""
    there = list(there)
    if not there:
        return " There are no files at all."
    for count in range(1, len(CHANGES) + 1):
        tried = CHANGES[:count]
        known: dict[str, str] = {}
        for name in there:
            known.setdefault(_fold(name, tried), name)
        asked = names[:: 1 + len(names) // SAMPLE]
        if any(_fold(name, tried) in known for name in asked):
            found = [(name, known[key]) for name in names if (key := _fold(name, tried)) in known]
            name, near = found[0]
            others = [[one for one in tried if one != change] for change in tried]
            differ = [_fold(name, rest) != _fold(near, rest) for rest in others]
            says = [says for (says, _), needed in zip(tried, differ, strict=True) if needed]
            return f" There is '{near}' for '{name}', {' and '.join(says)} ({len(found)} such)."
    return f" There are such as {', '.join(sorted(there)[:2])}."


def say_near_files(names: list[str], folder: Path) -> str:
    """Return `say_near` of images that were looked for in a folder, and those there at any depth.

    Labels beside them, whose names are often alike, are none of these.
    """
    walked = ((Path(place) / file) for place, _, files in os.walk(folder) for file in files)
    below = (os.fsencode(path.relative_to(folder).as_posix()) for path in walked if _may_be(path))
    there = [name.decode(errors="replace") for name in below]
    return say_near(names, there) if there else f" There is no image in '{folder}' at any depth."


def _may_be(path: Path) -> bool:
    """Say whether a file may be an image: one without an ending may be."""
    return path.suffix.strip().lower() in ("", *IMAGE_ENDINGS, *UNREAD_ENDINGS)


def _fold(name: str, changes: Iterable[tuple[str, Callable[[str], str]]]) -> str:
    for _, change in changes:
        name = change(name)
    return name
