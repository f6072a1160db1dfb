"""A Kaggle submission: written, read back, checked, and only then put in its place."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from landmarks.errors import UserError
from landmarks.files import replacing
from landmarks.outputs.not_finite import find_faults, say_faults

LOOKUP_COLUMNS = ["RowId", "Location"]
DECIMALS = 4


def pick_points(points: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the asked points (n, M, 2) of faces with points (n, K, 2) and indices (n, M)."""
    return np.take_along_axis(points, wanted[:, :, None].astype(np.intp), axis=1)


class Submission:
    """Gathers the asked points of each face, batch by batch, and writes them in the asked order.

    Args:
        names: (N,) bytes, in the order of test_points.csv.
        wanted: (N, M), the points asked of each.
    """

    def __init__(self, names: np.ndarray, wanted: np.ndarray):
        self.names, self.wanted = names, wanted
        self.picked: list[np.ndarray] = []

    def add(self, points: np.ndarray, faces: Sequence[int]) -> None:
        """Take what is asked of predicted points (n, K, 2), original pixels, of the next faces."""
        self.picked.append(pick_points(points, self.wanted[faces]))

    def write(self, path: Path, rounded: bool) -> None:
        """Write the submission, see `write_submission`."""
        write_submission(path, self.names, np.concatenate(self.picked), rounded)


def write_submission(path: Path, names: np.ndarray, points: np.ndarray, rounded: bool) -> None:
    """Write a submission and check the written file.

    Args:
        path: of the CSV: file_name,Point_M0_X,Point_M0_Y,...; replaced only by a checked file.
        names: (N,) bytes, in the order of test_points.csv.
        points: (N, M, 2), the asked points in original pixels, in the asked order.
        rounded: to the nearest whole number, as the contest's labels are; else two decimals.

    Raises:
        UserError: if a value is not finite, the file cannot be written, or read back is not what
            was meant.
    """
    flat = points.reshape(len(names), -1)
    faults = say_faults(np.char.decode(names), find_faults(points), "Point_M")
    if faults:
        raise UserError(
            f"The predictions of {faults} are not finite; nothing was written to {path}."
        )
    columns = [f"Point_M{i // 2}_{'XY'[i % 2]}" for i in range(flat.shape[1])]
    values = np.rint(flat).astype(np.int64) if rounded else np.round(flat.astype(np.float64), 2)
    table = pd.DataFrame(values, columns=columns)
    table.insert(0, "file_name", [name.decode() for name in names])
    with replacing(path) as part:
        table.to_csv(part, index=False)
        check_submission(part, names, values)


def check_submission(path: Path, names: np.ndarray, values: np.ndarray) -> None:
    """Raise UserError unless the file holds these names, in order, and these values (N, 2M)."""
    table = pd.read_csv(path, dtype={"file_name": str}, keep_default_na=False)
    columns = ["file_name"]
    columns += [f"Point_M{i // 2}_{'XY'[i % 2]}" for i in range(values.shape[1])]
    if list(table.columns) != columns:
        raise UserError(f"{path}: the columns are not file_name, Point_M0_X, Point_M0_Y, ...")
    expected = [name.decode() for name in names]
    if table["file_name"].tolist() != expected:
        raise UserError(f"{path}: the rows are not those of test_points.csv, in its order.")
    written = table[columns[1:]].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    if not np.isfinite(written).all() or np.abs(written - values).max(initial=0) > 1e-6:
        raise UserError(f"{path}: the values read back are not those predicted.")


class LookupSubmission:
    """Gathers the asked coordinates, batch by batch, and writes them in the table's order.

    Args:
        table: the table that asks, for messages.
        rows, faces, places: (R,) each, see `landmarks.data.faces.Asked`.
        most: coordinates are clipped to 0 ... this; None: they are not.
    """

    def __init__(
        self,
        table: str,
        rows: np.ndarray,
        faces: np.ndarray,
        places: np.ndarray,
        most: float | None,
    ):
        self.table, self.rows, self.places, self.most = table, rows, places, most
        self.order = np.argsort(faces, kind="stable")
        self.sorted = faces[self.order]
        self.values = np.full(len(rows), np.nan)

    def add(self, points: np.ndarray, faces: Sequence[int]) -> None:
        """Take what is asked of predicted points (n, K, 2), original pixels, of faces (n,)."""
        for face, coordinates in zip(faces, points.reshape(len(points), -1), strict=True):
            first, end = np.searchsorted(self.sorted, [face, face + 1])
            at = self.order[first:end]
            self.values[at] = coordinates[self.places[at]]

    def write(self, path: Path, rounded: bool) -> None:
        """Write the submission and check the written file; it is replaced only by a checked one.

        Args:
            rounded: to the nearest whole number; else four decimals.

        Raises:
            UserError: if a value is not finite, the file cannot be written, or read back is not
                what was meant.
        """
        bad = np.flatnonzero(~np.isfinite(self.values))
        if len(bad):
            raise UserError(
                f"The prediction of RowId {self.rows[bad[0]]} of {self.table} is not finite; "
                f"nothing was written to {path}."
            )
        values = self.values if self.most is None else np.clip(self.values, 0, self.most)
        values = np.rint(values).astype(np.int64) if rounded else np.round(values, DECIMALS)
        with replacing(path) as part:
            table = pd.DataFrame(dict(zip(LOOKUP_COLUMNS, (self.rows, values), strict=True)))
            table.to_csv(part, index=False)
            self._check(part, values)

    def _check(self, path: Path, values: np.ndarray) -> None:
        table = pd.read_csv(path)
        if list(table.columns) != LOOKUP_COLUMNS or table["RowId"].tolist() != self.rows.tolist():
            raise UserError(f"{path}: the rows are not those of {self.table}, in its order.")
        written = pd.to_numeric(table["Location"], errors="coerce").to_numpy(np.float64)
        if not np.isfinite(written).all() or np.abs(written - values).max(initial=0) > 1e-6:
            raise UserError(f"{path}: the values read back are not those predicted.")
