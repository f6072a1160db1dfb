"""Fields of text files: file names and numbers."""

from collections.abc import Callable

import numpy as np

from landmarks.data.faces import check_name
from landmarks.data.tables.landmarks_csv import FLOAT32_MAX, MISSING, refuse_field
from landmarks.errors import UserError

NO_VALUE = frozenset(MISSING)


def parse_name(name: str, where: str) -> bytes:
    """Return an image's file name in UTF-8.

    Raises:
        UserError: starting with `where`, if it is no name inside the images folder.
    """
    try:
        encoded = name.encode()
    except UnicodeEncodeError as error:  # surrogates stand for bytes that are not UTF-8
        raise UserError(
            f"{where}: the file name is not UTF-8; save the file as UTF-8 text."
        ) from error
    check_name(name, where)
    return encoded


def parse_numbers(fields: list[str], where: Callable[[int], str]) -> np.ndarray:
    """Return (n,) float32, NaN where a field is empty or says so.

    Args:
        fields: n texts.
        where: returns the place of field i: file, line and column.

    Raises:
        UserError: for the first field that is not a finite number.
    """
    together = "".join(fields)
    if "_" not in together and together.isascii():  # float() accepts underscores and other digits
        try:
            values = np.array([np.nan if f in NO_VALUE else float(f) for f in fields], np.float64)
            if not (np.abs(values) > FLOAT32_MAX).any():
                return values.astype(np.float32)
        except ValueError:
            pass
    stripped = [text.strip(" ") for text in fields]
    for i, text in enumerate(stripped):
        refuse_field(text, where(i))
    return parse_numbers(stripped, where)
