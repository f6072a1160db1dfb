"""Names of points that are numbers, or hold some: their order, and when they are names."""

import re
from collections.abc import Iterable

NUMBERED = re.compile(r"(.*?)(\d+)", re.DOTALL)
DIGITS = re.compile(r"(\d+)")


def order_names(names: Iterable[str]) -> list[str]:
    """Return names in the order of letters, and of numbers in them.

    The order in which a file happens to have them would differ between a set's parts.
    """
    return sorted(names, key=lambda name: [_key(part) for part in DIGITS.split(name)])


def _key(text: str) -> tuple[int, str]:
    if not text.isdecimal():
        return -1, text
    number = text.lstrip("0")
    return len(number), number  # as numbers are ordered, of any length


def say_names(names: list[str]) -> list[str]:
    """Return what `Faces.point_names` are: none where names count the points, or two are one.

    Points are counted from 0 or 1. Of 0, 1, 7 each is a name: 7 is not the point 2 of other files.
    """
    if len({*names}) < len(names):
        return []
    if not are_numbers(names):
        return names
    counted = [NUMBERED.fullmatch(name)[2].lstrip("0") or "0" for name in names]
    in_turn = [str(number) for number in range(len(names) + 1)]
    return [] if counted in (in_turn[:-1], in_turn[1:]) else names


def are_numbers(names: Iterable[str]) -> bool:
    """Return whether all names are numbers behind one word, or none: 0, 1, 7 or p0, p1, p7."""
    found = [NUMBERED.fullmatch(name) for name in names]
    return bool(found) and None not in found and len({it[1] for it in found}) == 1
