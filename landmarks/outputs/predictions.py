"""Predictions on their way to disk, batch by batch: never all in memory, never half a file."""

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np

from landmarks.errors import UserError
from landmarks.files import aside, reserve, writing
from landmarks.outputs.format_numbers import format_rows
from landmarks.outputs.not_finite import find_faults, say_faults

BOX_COLUMNS = ("box_x0", "box_y0", "box_x1", "box_y1")  # as data=table reads them


class PredictionFile:
    """predictions.csv, and predictions.npz if wanted; a context manager.

    The files appear, complete, when the context is left without an error.

    Args:
        folder: where they go.
        names: (N,) bytes.
        num_points: K.
        rounded: whole pixels in the CSV; else two decimals. The NPZ holds unrounded float32.
        npz: also write the NPZ: names (N,), points (N, K, 2), and (N, K) under its own name what is
            known of each point: confidence, or spread in pixels.
        certainty: that name; "none": nothing is known, and the NPZ's confidence is NaN.
        tell_all: write these even where each image shows one face.
        columns: also write it into the CSV, behind the points: Confidence_0, ... or Spread_0, ...
        unlabelled: points that no training face had a label of: where they are, a model cannot
            know. They are empty in the CSV and NaN in the NPZ.
        boxes: (N, 4), x0, y0, x1, y1 of the faces, NaN where there is none; None: nowhere.
        point_names: K names of the points; empty: they have none. They stand in the NPZ alone: not
            every name can be a column that is read back.

    Where an image shows several faces, columns and arrays tell them apart: `face`, 0, 1, ... in the
    data's order, and their boxes.
    """

    def __init__(
        self,
        folder: Path,
        names: np.ndarray,
        num_points: int,
        rounded: bool,
        npz: bool,
        unlabelled: Sequence[int] = (),
        boxes: np.ndarray | None = None,
        certainty: str = "confidence",
        columns: bool = False,
        tell_all: bool = False,
        point_names: Sequence[str] = (),
    ):
        self.marks = _tell_apart(names, boxes, tell_all)
        self.folder, self.names, self.rounded = folder, names, rounded
        self.unlabelled = list(unlabelled)
        self.empty = np.isin(np.arange(num_points), self.unlabelled).repeat(2)
        count = len(names)
        self.certainty = "spread" if certainty == "spread" else "confidence"
        self.columns = columns
        self.shapes = {"points": (count, num_points, 2), self.certainty: (count, num_points)}
        self.arrays: dict[str, np.memmap] = {}
        self.npz, self.done = npz, 0
        self.point_names = {"point_names": np.array(point_names)} if point_names else {}

    def __enter__(self) -> "PredictionFile":
        with ExitStack() as opened, writing(self.folder / "predictions.csv"):
            arrays = (f"{key}.npy" for key in self.shapes)
            kinds = ("csv", *(("npz", *arrays) if self.npz else ()))
            self.parts = {
                kind: opened.enter_context(aside(self.folder / f"predictions.{kind}"))
                for kind in kinds
            }
            self.csv = opened.enter_context(self.parts["csv"].open("wb"))
            count = self.shapes["points"][1]
            columns = [f"Point_{i // 2}_{'XY'[i % 2]}" for i in range(2 * count)]
            if self.columns:
                columns += [f"{self.certainty.title()}_{i}" for i in range(count)]
            header = ",".join(["file_name", *self._marks(), *columns]) + "\n"
            self.csv.write(header.encode())
            if self.npz:
                self.arrays = {key: self._map(key) for key in self.shapes}
            self.asides = opened.pop_all()
        return self

    def _marks(self, row: int | None = None) -> list[str]:
        """Return the fields that tell a face apart from others of its image; None: their names."""
        if not self.marks:
            return []
        boxed = "boxes" in self.marks
        if row is None:
            return ["face", *(BOX_COLUMNS if boxed else ())]
        edges = self.marks["boxes"][row].tolist() if boxed else []
        return [str(self.marks["face"][row]), *("" if e != e else f"{e:.2f}" for e in edges)]

    def _map(self, key: str) -> np.memmap:
        part = self.parts[f"{key}.npy"]
        array = np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=self.shapes[key])
        reserve(part)
        return array

    def add(self, points: np.ndarray, sure: np.ndarray) -> None:
        """Add the next n faces: points (n, K, 2) in original pixels, their certainty (n, K).

        Raises:
            UserError: if a point is not finite, or the disk is full.
        """
        names = self.names[self.done : self.done + len(points)]
        if not np.isfinite(points).all():
            faults = say_faults(np.char.decode(names), find_faults(points), "Point_")
            raise UserError(
                f"The predictions of {faults} are not finite; nothing was written to {self.folder}."
            )
        rows = format_rows(points.reshape(len(points), -1), self.rounded, self.empty)
        if self.columns:
            more = format_rows(np.ascontiguousarray(sure, np.float32), False, self.empty[::2])
            rows = [one + other for one, other in zip(rows, more, strict=True)]
        lines = []
        for row, (name, numbers) in enumerate(zip(names, rows, strict=True), start=self.done):
            start = ",".join([_quote(name.decode()), *self._marks(row)])
            lines += [start.encode(), numbers, b"\n"]
        with writing(self.folder / "predictions.csv"):
            self.csv.write(b"".join(lines))
        for key, values in (("points", points), (self.certainty, sure)):
            if self.npz:
                written = self.arrays[key][self.done : self.done + len(points)]
                written[:] = values
                written[:, self.unlabelled] = np.nan
        self.done += len(points)

    def __exit__(self, kind, error, trace) -> None:
        with self.asides:
            if kind is None:
                self._finish()
            self.arrays = {}
            with suppress(OSError):  # of what nobody will read
                self.csv.close()

    def _finish(self) -> None:
        with writing(self.folder / "predictions.csv"):
            self.csv.close()
        if self.npz:
            with writing(self.folder / "predictions.npz"):
                with self.parts["npz"].open("wb") as file:
                    named = {"names": np.char.decode(self.names), **self.point_names}
                    np.savez(file, **named, **self.marks, **self.arrays)
                self.parts["npz"].replace(self.folder / "predictions.npz")
        self.parts["csv"].replace(self.folder / "predictions.csv")


def _tell_apart(names: np.ndarray, boxes: np.ndarray | None, always: bool) -> dict[str, np.ndarray]:
    """Return `face` (N,) int, how many faces of its image stand before each, and `boxes` (N, 4);
    nothing where no image shows several faces."""
    _, first, of_image = np.unique(names, return_index=True, return_inverse=True)
    if len(first) == len(names) and not always:
        return {}
    order = np.argsort(of_image, kind="stable")
    starts = np.searchsorted(of_image[order], of_image[order])
    face = np.empty(len(names), int)
    face[order] = np.arange(len(names)) - starts
    return {"face": face} if boxes is None else {"face": face, "boxes": boxes}


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if set(name) & set(',"\r\n') else name
