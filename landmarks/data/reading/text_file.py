"""Text files and tables: their encoding, their separator, their rows."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from landmarks.errors import UserError

SEPARATORS = ",\t;|"
AS_UTF8 = "save it as UTF-8 text"
AS_CSV = "save it as CSV (UTF-8)"
AS_TABLE = "write its points to a CSV (data=table)"
UNPACK = "unpack it and name the file inside"
# First bytes of a file, what they say that it is, and what to do.
PLACEHOLDERS = (  # in place of a file of any kind
    (b"\x1f\x8b", "compressed (gzip)", UNPACK),
    (b"BZh", "compressed (bzip2)", UNPACK),
    (b"\xfd7zXZ\0", "compressed (xz)", UNPACK),
    (b"\x28\xb5\x2f\xfd", "compressed (zstd)", UNPACK),
    (b"version https://git-lfs", "a pointer of Git LFS", "fetch it with git lfs pull"),
    (b"<!DOCTYPE html", "a web page", "download the file itself"),
    (b"<html", "a web page", "download the file itself"),
)
BEGINNINGS = (
    *PLACEHOLDERS,
    (b"\xff\xfe", "UTF-16 text", AS_UTF8),
    (b"\xfe\xff", "UTF-16 text", AS_UTF8),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook", AS_CSV),
    (b"PAR1", "a Parquet file", "name it with the ending .parquet"),
    (b"MATLAB 5.0", "a MATLAB file (.mat)", AS_TABLE),
    (b"\x89HDF", "an HDF5 file (MATLAB's .mat from 7.3 on is one)", AS_TABLE),
    (b"\x93NUMPY", "a NumPy array", AS_TABLE),
    (b"\xff\xd8\xff", "a JPEG image", "name a text file"),
    (b"\x89PNG", "a PNG image", "name a text file"),
    (b"%PDF", "a PDF", AS_CSV),
)


def refuse_placeholder(path: Path, wanted: str) -> None:
    """Raise UserError if a file is empty, or is what stands in place of one that was not fetched or
    unpacked.

    Args:
        wanted: what belongs there, "MATLAB file".
    """
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        raise UserError(f"{path} is empty, not the {wanted} that belongs here; get it again.")
    for beginning, what, advice in PLACEHOLDERS:
        if head.startswith(beginning):
            raise UserError(f"{path} is {what}, not the {wanted} that belongs here; {advice}.")


def refuse_binary(path: Path) -> None:
    """Raise UserError, saying what the file is and what to do, if it is not a text file."""
    with path.open("rb") as file:
        head = file.read(4096)
    found = next((it for beginning, *it in BEGINNINGS if head.startswith(beginning)), None)
    if found is None and head.startswith(b"PK\x03\x04"):
        is_workbook = path.suffix.lower() in (".xlsx", ".xlsm", ".ods") or b"xl/" in head
        found = ("an Excel workbook", AS_CSV) if is_workbook else ("a ZIP archive", UNPACK)
    elif found is None and b"\0" in head:
        is_wide = max(head[::2].count(0), head[1::2].count(0)) > len(head) // 4
        found = ("UTF-16 text", AS_UTF8) if is_wide else ("binary", "name a text file")
    if found is not None:
        what, advice = found
        raise UserError(f"{path} is {what}, not the text that belongs here; {advice}.")


def read_text(path: Path) -> str:
    """Return the content of a UTF-8 file without the byte order mark that Windows puts first.

    Raises:
        UserError: with the line, if it is not UTF-8; OSError: if it cannot be read.
    """
    refuse_binary(path)
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line}: not UTF-8; {AS_UTF8}.") from error


def find_delimiter(line: str) -> str:
    """Return the separator of a table's columns, judged by its first line; "," if there is none."""
    bare = re.sub('"[^"]*"', "", line)
    return max(SEPARATORS, key=bare.count)


def read_rows(path: Path, delimiter: str | None = None) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, fields) of each row of a table, its header first, one row at a time.

    Args:
        path: of the table.
        delimiter: between its columns, where " " is any number of blanks; None: `find_delimiter`
            finds it.

    Blanks before a field and empty rows are dropped.

    Raises:
        UserError: with the line, for a malformed row or one that is not UTF-8; OSError: if the
            file cannot be read.
    """
    refuse_binary(path)
    with path.open(encoding="utf-8-sig", newline="") as text:
        try:
            first = text.readline()
            if first.startswith("sep="):
                raise UserError(f"{path}, line 1: '{first.strip()}' is no header; delete the line.")
            text.seek(0)
            delimiter = delimiter or find_delimiter(first)
            lines = (f"{line.strip()}\n" for line in text) if delimiter == " " else text
            reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
            for row in reader:
                if any(row):
                    yield reader.line_num, row
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path}, line {_find_undecodable(path)}: not UTF-8; {AS_UTF8}."
            ) from error
        except csv.Error as error:
            raise UserError(f"{path}, line {reader.line_num}: not a row ({error}).") from error


def _find_undecodable(path: Path) -> int:
    """Return the first line that is not UTF-8; the reader has read further ahead."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.decode(errors="ignore").encode() != line:
                return number
    return number  # the last line ends inside a character
