"""The contest's test_points.csv: which points a submission holds of each face."""

import json
import re
from pathlib import Path

import numpy as np

from landmarks.data.faces import check_names
from landmarks.data.reading.text_file import read_text
from landmarks.errors import UserError, say_count


def read_test_points(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the names (N,) bytes and asked points (N, M) int32 of a test_points.csv.

    The file is TAB-separated: file_name and point_index_list, a JSON list. Every row asks for the
    same number of points; their order is the submission's.

    Raises:
        UserError: with file, line and column, for a malformed file.
    """
    names, lists = [], []
    lines = re.split(r"\r\n|\r|\n", read_text(path).rstrip())
    header = lines[0].split("\t")
    if header != ["file_name", "point_index_list"]:
        raise UserError(
            f"{path}, line 1: file_name and point_index_list belong here, TAB-separated; found "
            f"'{' '.join(header)[:60]}'."
        )
    for number, line in enumerate(lines[1:], start=2):
        name, tab, listed = line.partition("\t")
        if not tab:
            raise UserError(f"{path}, line {number}: a TAB and a list of points are missing.")
        names.append(name.encode())
        lists.append(_parse_list(listed, f"{path}, line {number}, column 2"))
        if len(lists[-1]) != len(lists[0]):
            raise UserError(
                f"{path}, line {number}, column 2: {say_count(len(lists[-1]), 'point')} where "
                f"line 2 has {len(lists[0])}; a submission has one width."
            )
    if not names:
        raise UserError(f"{path} names no faces.")
    names = np.array(names)
    check_names(names, str(path))
    return names, np.array(lists, dtype=np.int32)


def _parse_list(text: str, where: str) -> list[int]:
    try:
        indices = json.loads(text.strip().strip('"'))
    except (ValueError, RecursionError):  # the latter of brackets in brackets
        indices = None
    if not isinstance(indices, list) or not indices or not all(type(i) is int for i in indices):
        raise UserError(f"{where}: a list such as [742, 385] belongs here; found '{text[:60]}'.")
    outside = [i for i in indices if not 0 <= i < 2**31]
    if outside:
        raise UserError(f"{where}: {outside[0]} is no point; indices start at 0.")
    return indices
