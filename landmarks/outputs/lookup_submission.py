"""A submission of RowId,Location, as Kaggle's Facial Keypoints asks: read back and checked."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from landmarks.errors import UserError
from landmarks.files import replacing

COLUMNS = ["RowId", "Location"]
DECIMALS = 4


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
            table = pd.DataFrame(dict(zip(COLUMNS, (self.rows, values), strict=True)))
            table.to_csv(part, index=False)
            self._check(part, values)

    def _check(self, path: Path, values: np.ndarray) -> None:
        table = pd.read_csv(path)
        if list(table.columns) != COLUMNS or table["RowId"].tolist() != self.rows.tolist():
            raise UserError(f"{path}: the rows are not those of {self.table}, in its order.")
        written = pd.to_numeric(table["Location"], errors="coerce").to_numpy(np.float64)
        if not np.isfinite(written).all() or np.abs(written - values).max(initial=0) > 1e-6:
            raise UserError(f"{path}: the values read back are not those predicted.")
