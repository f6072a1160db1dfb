"""What the fields of a text stand for: file names and numbers."""

from collections.abc import Callable

import numpy as np

from landmarks.data.faces import check_name
from landmarks.data.labels import FLOAT32_MAX, MISSING, NUMBER
from landmarks.errors import UserError

NO_VALUE = frozenset(MISSING)


def parse_name(name: str, where: str) -> bytes:
    """Return an image's file name in UTF-8.

    Raises:
        UserError: starting with `where`, if it is no name inside the images folder.
    """
    check_name(name, where)
    encoded = name.encode(errors="replace")
    if b"\0" in encoded or encoded.decode() != name:
        raise UserError(f"{where}: {name[:60]!r} can be no file name; correct it.")
    return encoded


def parse_numbers(fields: list[str], where: Callable[[int], str]) -> np.ndarray:
    """Return (n,) float32, NaN where a field is empty or says so.

    Args:
        fields: n texts.
        where: says where the field i stands: file, line and column.

    Raises:
        UserError: for the first field that is not a finite number.
    """
    together = "".join(fields)
    if "_" not in together and together.isascii():  # which float() would let pass
        try:
            values = np.array([np.nan if f in NO_VALUE else float(f) for f in fields], np.float64)
            if not (np.abs(values) > FLOAT32_MAX).any():
                return values.astype(np.float32)
        except ValueError:
            pass
    for i, text in enumerate(fields):
        is_number = NUMBER.fullmatch(text) and abs(float(text)) <= FLOAT32_MAX
        if not is_number and text not in NO_VALUE:
            raise UserError(f"{where(i)}: '{text[:40]}' is not a number.")
    raise AssertionError("every field is a number")
