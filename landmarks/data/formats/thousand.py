"""`data=thousand`: the layout of Kaggle's "Thousand Facial Landmarks", with any point count."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from landmarks.data.caches.mapped_faces import Arrays, to_faces
from landmarks.data.faces import Faces, check_names
from landmarks.data.reading.format_signatures import refuse_near, refuse_other
from landmarks.data.reading.reader_arguments import StoredReading
from landmarks.data.reading.text_file import read_text
from landmarks.data.tables.landmarks_csv import map_labels
from landmarks.errors import UserError, say_count
from landmarks.settings import flat


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


@flat
def read_faces(root: str, *, reading: StoredReading) -> Faces:
    """Return the labelled training faces, or the test faces with the points asked of each.

    Args:
        root: holds train/images, train/landmarks.csv, test/images and test_points.csv (in test/ or
            in root itself), directly or under contest01_data/.

    Raises:
        UserError: if the folder holds nothing of the kind, a file is malformed, or an image cannot
            be read.
    """
    part = reading.part
    base = find_root(Path(root))
    images = base / part / "images"
    if not images.is_dir():
        refuse_other(base, "table")  # as its own files are tables
        raise UserError(f"There is no folder {images}: {part} faces are looked for there.")
    if part == "train":
        labels = base / "train" / "landmarks.csv"
        if not labels.is_file():
            refuse_other(base, "table")
            raise UserError(f"There is no {labels}: the training points are looked for there.")
        names, points = map_labels(labels, reading.cache_dir, reading.missing)
        return to_faces(Arrays(names, points), images, str(labels), reading)
    folders = (base / "test", base, Path(root))  # it was a download of its own
    listed = [folder / "test_points.csv" for folder in folders]
    found = next((path for path in listed if path.is_file()), None)
    if found is None:
        raise UserError(
            f"There is no {listed[0]}: put the contest's file there, or name the images with "
            f"input={images}."
        )
    names, wanted = read_test_points(found)
    faces = to_faces(Arrays(names, None), images, str(found), reading)
    return replace(faces, wanted=wanted[: reading.limit])


def find_root(root: Path) -> Path:
    """Return `root` or its contest01_data/, whichever holds train/ or test/.

    Raises:
        UserError: if neither does.
    """
    for base in (root, root / "contest01_data"):
        if (base / "train").is_dir() or (base / "test").is_dir():
            return base
    if not root.exists():
        raise UserError(
            f"There is no folder '{root}': set data.root=FOLDER to the contest's data, or use "
            f"data=synthetic for synthetic faces."
        )
    refuse_near(root, "train/landmarks.csv", "test/images", "contest01_data/train")
    refuse_other(root, "thousand")
    raise UserError(
        f"No faces in '{root}': looked for train/images, train/landmarks.csv and test/images there "
        f"and in contest01_data/. Put the contest's data there or set data.root=FOLDER, or use "
        f"data=synthetic for synthetic faces."
    )
