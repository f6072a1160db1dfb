"""Points of a clip's frames on their way to disk: never all in memory, never half a file."""

import shutil
import zipfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np

from landmarks.files import aside, writing
from landmarks.outputs.format_numbers import format_rows


class FrameFile:
    """predictions.csv of a clip, and predictions.npz if wanted; a context manager.

    How many frames there are need not be known. The files appear, complete, when the context is
    left without an error.

    Args:
        folder: where they go.
        num_points: K.
        rounded: whole pixels in the CSV; else two decimals.
        npz: also write the NPZ: times (N,) in seconds, states (N,), points (N, K, 2) and, under its
            own name, the certainty (N, K); NaN where no face was seen; point_names (K,), if any.
        unlabelled: points that no training face had a label of: empty, and NaN.
        certainty: "confidence", "spread", or "none", which is a confidence of NaN.
        columns: whether the certainty stands in the CSV too.
        point_names: K names of the points; empty: they have none.
    """

    def __init__(
        self,
        folder: Path,
        num_points: int,
        rounded: bool,
        npz: bool,
        unlabelled: Sequence[int] = (),
        certainty: str = "confidence",
        columns: bool = False,
        point_names: Sequence[str] = (),
    ):
        self.folder, self.rounded, self.npz, self.columns = folder, rounded, npz, columns
        self.empty = np.isin(np.arange(num_points), list(unlabelled))
        self.certainty = "spread" if certainty == "spread" else "confidence"
        self.shapes = {"points": (num_points, 2), self.certainty: (num_points,)}
        self.times: list[float] = []
        self.states: list[str] = []
        self.point_names = list(point_names)

    def __enter__(self) -> "FrameFile":
        with ExitStack() as opened, writing(self.folder / "predictions.csv"):
            ends = [".csv", *([".npz", *(f".{key}" for key in self.shapes)] if self.npz else [])]
            self.parts = {
                end: opened.enter_context(aside(self.folder / f"predictions{end}")) for end in ends
            }
            self.files = {
                end: opened.enter_context(part.open("wb"))
                for end, part in self.parts.items()
                if end != ".npz"
            }
            count = len(self.empty)
            names = [f"Point_{i // 2}_{'XY'[i % 2]}" for i in range(2 * count)]
            if self.columns:
                names += [f"{self.certainty.title()}_{i}" for i in range(count)]
            header = ",".join(["frame", "time", "state", *names]) + "\n"
            self.files[".csv"].write(header.encode())
            self.asides = opened.pop_all()
        return self

    def add(
        self, time: float, state: str, points: np.ndarray | None, sure: np.ndarray | None
    ) -> None:
        """Add the next frame: points (K, 2) in its pixels, certainty (K,); None: no face there.

        Raises:
            UserError: if the disk is full.
        """
        count = len(self.empty)
        start = f"{len(self.times)},{time:.4f},{state}".encode()
        if points is None:
            numbers = b"," * (count * (3 if self.columns else 2))
        else:
            flat = np.ascontiguousarray(points, np.float32).reshape(1, -1)
            (numbers,) = format_rows(flat, self.rounded, self.empty.repeat(2))
            if self.columns:
                flat = np.ascontiguousarray(sure, np.float32)[None]
                numbers += format_rows(flat, False, self.empty)[0]
        with writing(self.folder / "predictions.csv"):
            self.files[".csv"].write(start + numbers + b"\n")
            for key, values in (("points", points), (self.certainty, sure)):
                if self.npz:
                    row = np.full(self.shapes[key], np.nan, np.float32)
                    if values is not None:
                        row[~self.empty] = values[~self.empty]
                    self.files[f".{key}"].write(row.tobytes())
        self.times.append(time)
        self.states.append(state)

    def __exit__(self, kind, error, trace) -> None:
        with self.asides:
            if kind is None:
                self._finish()
            for file in self.files.values():
                with suppress(OSError):  # of what nobody will read
                    file.close()

    def _finish(self) -> None:
        with writing(self.folder / "predictions.csv"):
            for file in self.files.values():
                file.close()
        if self.npz:
            path = self.folder / "predictions.npz"
            with writing(path):
                self._pack(self.parts[".npz"])
                self.parts[".npz"].replace(path)
        self.parts[".csv"].replace(self.folder / "predictions.csv")

    def _pack(self, path: Path) -> None:
        """Write the NPZ; the large arrays are copied from file to file."""
        with zipfile.ZipFile(path, "w") as archive:
            for key in ("times", "states", *(["point_names"] if self.point_names else [])):
                with archive.open(f"{key}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, np.array(getattr(self, key)))
            for key, shape in self.shapes.items():
                described = {"descr": "<f4", "fortran_order": False}
                described["shape"] = (len(self.times), *shape)
                with (
                    archive.open(f"{key}.npy", "w", force_zip64=True) as file,
                    self.parts[f".{key}"].open("rb") as raw,
                ):
                    np.lib.format.write_array_header_1_0(file, described)
                    shutil.copyfileobj(raw, file, 1 << 20)
