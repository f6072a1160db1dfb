"""`data.exclude`: training faces left out by name, as `landmarks check` lists them."""

import csv
import logging
from pathlib import Path

import numpy as np

from landmarks.data.faces import Faces
from landmarks.errors import UserError

log = logging.getLogger(__name__)
COLUMNS = ("name", "file_name")


def find_excluded(faces: Faces, file: str | None) -> np.ndarray:
    """Return (N,) bool: is the face's image named in the file? All False where there is no file.

    Args:
        faces: of the training part.
        file: see `read_names`.

    Names that are not among the faces are counted in a warning. A name stands for an image: where
    an image shows several faces, all of them are left out.

    Raises:
        UserError: if the file cannot be read, or leaves no face.
    """
    if file is None:
        return np.zeros(len(faces), bool)
    names = np.array(sorted(read_names(file)), dtype=bytes)
    excluded = np.isin(faces.names, names)
    unknown = int((~np.isin(names, faces.names)).sum())
    if unknown:
        log.warning(
            "%d of the %d names in %s are not among the faces of %s.",
            *(unknown, len(names), file, faces.source),
        )
    if len(faces) and excluded.all():
        raise UserError(f"data.exclude={file} names every face of {faces.source}: none is left.")
    if excluded.any():
        log.info("Left out %d faces named in %s.", int(excluded.sum()), file)
    return excluded


def read_names(file: str) -> set[bytes]:
    """Return the file names, UTF-8, that a table or list leaves out of training.

    Args:
        file: a CSV or TSV with a column `name` or `file_name`; or a text with one name a line. With
            a column `level`, only its errors count (remove the column, and warnings count too);
            with a column `part`, only its training faces.

    Raises:
        UserError: if there is no such file, or no such column.
    """
    path = Path(file)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UserError(f"data.exclude={file} cannot be read ({reason}); name a table.") from error
    lines = text.splitlines()
    first = lines[0] if lines else ""
    header = next(csv.reader([first], delimiter="\t" if "\t" in first else ","), [])
    header = [field.strip().casefold() for field in header]
    column = next((name for name in COLUMNS if name in header), None)
    if column is None:
        if len(header) > 1:
            raise UserError(
                f"data.exclude={file}, line 1: there is no column {' or '.join(COLUMNS)} among "
                f"{', '.join(header)[:80]}; add one, or list one name a line."
            )
        return {line.strip().encode() for line in lines if line.strip()}
    rows = csv.DictReader(lines[1:], header, delimiter="\t" if "\t" in first else ",")
    return {
        row[column].strip().encode()
        for row in rows
        if (row[column] or "").strip()
        and (row.get("level") or "error").strip() == "error"
        and (row.get("part") or "train").strip() == "train"
    }
