"""Predictions that stand in a file: of `landmarks predict`, of a k-fold, or of another program."""

import errno
import struct
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from landmarks.data.faces import Faces, plain_names
from landmarks.data.reading.suggest_names import say_near
from landmarks.data.reading.text_file import refuse_binary
from landmarks.data.tables.landmarks_csv import HEADER, read_points
from landmarks.data.tables.table_columns import find_columns
from landmarks.data.tables.table_rows import read_header, read_rows
from landmarks.errors import UserError, say_some
from landmarks.files import NUMPY_DAMAGE

LOCAL_HEADER = 30  # bytes before a ZIP member's name


class Predictions(NamedTuple):
    """Predictions of M faces: names (M,) bytes, points (M, K, 2) in original pixels, confidence
    (M, K) or None, point_names K names of the points, empty where the file has none. Points may be
    mapped."""

    names: np.ndarray
    points: np.ndarray
    confidence: np.ndarray | None
    point_names: Sequence[str] = ()


def read_predictions(path: Path, scratch: Path) -> Predictions:
    """Return what stands in predictions.npz, or in a table with a file name and points in each row.

    Args:
        path: `.npz` as `landmarks predict npz=true` writes it; a CSV, TSV or Parquet table.
        scratch: a file to write numbers to that would fill the memory.

    Raises:
        UserError: if it is missing, cut off or holds something else.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder: name the predictions.csv or .npz in it.")
    if not path.is_file():
        raise UserError(f"There is no file of predictions {path}; set predictions=FILE.")
    try:
        if path.suffix == ".npz":
            return _read_npz(path)
        return _read_table(path, scratch)
    except OSError as error:
        raise UserError(f"predictions={path} cannot be read ({error.strerror}).") from error


def match_faces(
    predictions: Predictions, faces: Faces, path: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Return (n,) rows of the faces that are predicted, ascending, and (n,) where they stand.

    Where an image shows several faces, the predictions of its faces come in the data's order.

    Raises:
        UserError: if a name stands for no face, or the number of points is another.
    """
    if predictions.points.shape[1] != faces.num_points:
        raise UserError(
            f"{path} has {predictions.points.shape[1]} points a face and {faces.source} "
            f"{faces.num_points}: name the predictions of these faces. A submission holds only the "
            f"points that are asked for; predictions.csv beside it holds all."
        )
    usable = faces.usable
    known: dict[tuple[bytes, int], int] = {}
    for key, row in zip(
        number_names(plain_names(faces.names[usable])), usable.tolist(), strict=True
    ):
        known[key] = row
    there = set(plain_names(faces.names).tolist())
    rows = np.full(len(predictions.names), -1)
    for i, key in enumerate(number_names(plain_names(predictions.names))):
        rows[i] = known.get(key, -2 if key[0] in there else -1)
    unknown = np.flatnonzero(rows == -1)
    if len(unknown):
        lost = [predictions.names[i].decode() for i in unknown[:1000].tolist()]
        near = say_near(lost, (name.decode() for name in there))
        raise UserError(
            f"{path}: {len(unknown)} of {len(rows)} names are no faces of {faces.source}, "
            f"'{lost[0]}' first.{near} Name the data that they are of."
        )
    at = np.flatnonzero(rows >= 0)
    if not len(at):
        raise UserError(f"{path}: none of its faces is one of {faces.source} that can be used.")
    at = at[np.argsort(rows[at], kind="stable")]
    return rows[at], at


def number_names(names: np.ndarray) -> Iterator[tuple[bytes, int]]:
    """Yield each name with how many times it stood before."""
    seen: dict[bytes, int] = {}
    for name in names.tolist():
        seen[name] = seen.get(name, -1) + 1
        yield name, seen[name]


def _read_npz(path: Path) -> Predictions:
    try:
        with np.load(path) as stored:
            names = np.char.encode(stored["names"].astype(str), "utf-8")
            has_confidence = "confidence" in stored.files
            point_names = stored["point_names"].tolist() if "point_names" in stored.files else []
        points = _map_member(path, "points.npy")
        confidence = _map_member(path, "confidence.npy") if has_confidence else None
    except NUMPY_DAMAGE as error:
        if getattr(error, "errno", None) not in (None, errno.EINVAL):  # of the system, not a place
            raise
        raise UserError(
            f"predictions={path} is damaged or holds no predictions (names, points); predict again."
        ) from error
    fits = points.ndim == 3 and points.shape[::2] == (len(names), 2) and len(names) > 0
    if not fits or (confidence is not None and confidence.shape != points.shape[:2]):
        raise UserError(
            f"predictions={path}: points of shape (N, K, 2) for its {len(names)} names belong "
            f"there; found {points.shape}."
        )
    point_names = [*map(str, point_names)]
    if point_names and not len({*point_names}) == len(point_names) == points.shape[1]:
        raise UserError(
            f"predictions={path}: point_names of {points.shape[1]} different names belong there, "
            f"or none; found {say_some(point_names, 5)}."
        )
    return Predictions(names, points, confidence, point_names)


def _map_member(path: Path, name: str) -> np.ndarray:
    """Return an array of an NPZ, mapped where it is stored as it is."""
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(name)
        if member.compress_type != zipfile.ZIP_STORED:
            with archive.open(name) as file:
                return np.lib.format.read_array(file, allow_pickle=False)
    with path.open("rb") as file:
        file.seek(member.header_offset)
        sizes = struct.unpack("<HH", file.read(LOCAL_HEADER)[26:30])
        file.seek(sum(sizes), 1)
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
            version, np.lib.format.read_array_header_2_0
        )
        shape, is_fortran, kind = read(file)
        offset = file.tell()
    if kind.kind != "f" or is_fortran:
        raise ValueError(name)
    return np.memmap(path, kind, "r", offset, shape)


def _read_table(path: Path, scratch: Path) -> Predictions:
    if path.suffix.lower() not in (".parquet", ".pq"):
        refuse_binary(path)
        with path.open("rb") as file:
            start = file.readline().decode("utf-8-sig", "replace").rstrip("\r\n")
            is_quoted = '"' in start or b'"' in file.read(1 << 16)
        separator = "\t" if "\t" in start else ","
        columns = start.split(separator)
        numbered = [HEADER.fullmatch(column) for column in columns[1:]]
        is_contest = None not in numbered and len({it[1] for it in numbered}) == 1
        if len(columns) > 2 and not is_quoted and is_contest:
            num_points, blocks = read_points(path, separator)
            return _gather(blocks, num_points, path, scratch)
    header = read_header(path)
    found = find_columns(path, header, None, None)
    if not found.points:
        raise UserError(
            f"{path}, line 1: no columns of points, as Point_0_X, Point_0_Y, ..., among "
            f"{say_some(header, 8)}; name a file of predictions."
        )
    rows = read_rows(path, found.name, found.points)
    shaped = ((names, values.reshape(len(names), -1, 2)) for names, values in rows)
    gathered = _gather(shaped, len(found.points) // 2, path, scratch)
    return gathered._replace(point_names=found.names)


def _gather(
    blocks: Iterator[tuple[np.ndarray, np.ndarray]], num_points: int, path: Path, scratch: Path
) -> Predictions:
    names, count = [], 0
    with scratch.open("wb") as out:
        for some, points in blocks:
            names.append(some)
            out.write(np.ascontiguousarray(points, np.float32))
            count += len(some)
    if not count:
        raise UserError(f"{path} holds a header and no predictions.")
    points = np.memmap(scratch, np.float32, "r", shape=(count, num_points, 2))
    return Predictions(np.concatenate(names), points, None)
