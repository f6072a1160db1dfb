"""Maps from one layout to another: which point of a data set is which one of the other."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from landmarks.data.reading.text_file import read_text
from landmarks.errors import UserError, did_you_mean

# The 68 points of 300-W among WFLW's 98: every second one of the jaw, no lower edges of the brows.
WFLW98_TO_IBUG68 = [
    *range(0, 33, 2),
    *range(33, 38),
    *range(42, 47),
    *range(51, 60),
    60,
    61,
    63,
    64,
    65,
    67,
    68,
    69,
    71,
    72,
    73,
    75,
    *range(76, 96),
]
KNOWN = {"wflw98_to_ibug68": [(a, b) for b, a in enumerate(WFLW98_TO_IBUG68)]}


def read_map(
    name: str, have: int, names: Sequence[str], want: int | None, wanted: Sequence[str]
) -> np.ndarray:
    """Return (L,) which point of a data set each of L points of the other layout is; -1: none.

    Args:
        name: one of `KNOWN`, or a text file: in each line a point of the data set and the point of
            the other layout that it is, numbers from 0 or names, parted by a comma or blanks. A
            first line of two other words is a header.
        have: number of the data set's points.
        names: of these points; empty: they have none.
        want, wanted: the same of the other layout; None: it ends at the last point of the map.

    Raises:
        UserError: with file and line, for a malformed map.
    """
    if name in KNOWN:
        pairs, places = KNOWN[name], [name] * len(KNOWN[name])
    else:
        pairs, places = _read_pairs(Path(name), names, wanted)
    count = want or 1 + max(b for _, b in pairs)
    found = np.full(count, -1)
    for (a, b), where in zip(pairs, places, strict=True):
        for point, limit, whose in ((a, have, "the data set"), (b, count, "the other layout")):
            if not 0 <= point < limit:
                raise UserError(f"{where}: {whose} has points 0 to {limit - 1}, and no {point}.")
        if found[b] >= 0:
            raise UserError(f"{where}: point {b} of the other layout stands there twice.")
        found[b] = a
    return found


def _read_pairs(
    path: Path, names: Sequence[str], wanted: Sequence[str]
) -> tuple[list[tuple[int, int]], list[str]]:
    if not path.is_file():
        hint = did_you_mean(str(path), KNOWN)
        known = ", ".join(KNOWN)
        raise UserError(f"There is no map {path}: name a file, or one of {known}.{hint}")
    pairs, places = [], []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        fields = line.replace(",", " ").split()
        where = f"{path}, line {number}"
        if not fields:
            continue
        if len(fields) != 2:
            raise UserError(f"{where}: two points belong here, from and to; found '{line[:40]}'.")
        known = [names, wanted]
        # Beside names that are numbers, such as 0, 1, 7, a number is a name.
        is_point = [
            f in some or (f.isdecimal() and not any(map(str.isdecimal, some)))
            for f, some in zip(fields, known, strict=True)
        ]
        if not pairs and not any(is_point) and not any(map(str.isdecimal, fields)):
            continue  # a header
        for field, some, is_one in zip(fields, known, is_point, strict=True):
            if not is_one:
                raise UserError(f"{where}: there is no point '{field}'.{did_you_mean(field, some)}")
        a, b = (
            some.index(field) if field in some else int(field)
            for field, some in zip(fields, map(list, known), strict=True)
        )
        pairs.append((a, b))
        places.append(where)
    if not pairs:
        raise UserError(f"{path} maps no point.")
    return pairs, places
