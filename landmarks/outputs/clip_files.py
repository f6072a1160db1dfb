"""What is kept of a clip: its points, frame by frame, and its frames with the points drawn."""

import logging
import shutil
import zipfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path

import cv2
import numpy as np

from landmarks.files import aside, writing
from landmarks.outputs.format_numbers import format_rows
from landmarks.outputs.pictures import PREDICTED, SHIFT, TEXT, drawing

log = logging.getLogger(__name__)
DOTS = 250  # dots of a point's radius that stand side by side across a face
MANY = 200  # points from which a dot is drawn at half that radius


class AnnotatedClip(AbstractContextManager):
    """Writes annotated.mp4, without sound; it appears when the context is left without an error.

    Of an odd width or height the last column or row stands there twice.

    A clip that cannot be written is said once, and ends nothing.

    Args:
        folder: where it goes.
        rate: frames a second.
        size: width and height.
    """

    def __init__(self, folder: Path, rate: float, size: tuple[int, int]):
        self.path, self.rate = folder / "annotated.mp4", rate
        self.size = (size[0] + size[0] % 2, size[1] + size[1] % 2)  # MPEG-4 has even sides
        self.last = np.zeros((*self.size[::-1], 3), np.uint8)
        self.writer: cv2.VideoWriter | None = None

    def __enter__(self) -> "AnnotatedClip":
        with ExitStack() as opened:
            self.part = opened.enter_context(aside(self.path))
            with drawing(self.path.parent):
                code = cv2.VideoWriter.fourcc(*"mp4v")
                self.writer = cv2.VideoWriter(str(self.part), code, self.rate, self.size)
                if not self.writer.isOpened():
                    raise OSError(f"OpenCV cannot write {self.path.name} here")
            self.asides = opened.pop_all()
        return self

    def add(self, image: np.ndarray | None, points: np.ndarray | None, said: str) -> None:
        """Add a frame.

        Args:
            image: (H, W, 3) uint8 BGR; None: the last one again.
            points: (K, 2) in its pixels, NaN where there are none; None: no face.
            said: what stands in the corner; "": nothing.
        """
        if self.writer is None or not self.writer.isOpened():
            return
        with drawing(self.path.parent):
            width, height = self.size
            if image is not None:
                image = image[:height, :width]
                more = (0, height - image.shape[0], 0, width - image.shape[1])
                self.last = cv2.copyMakeBorder(image, *more, cv2.BORDER_REPLICATE)
            picture = self.last.copy()
            if points is not None:
                draw_points(picture, points)
            if said:
                at, size = (8, 8 + height // 24), max(0.4, height / 720)
                for colour, thick in (((0, 0, 0), 3), (TEXT, 1)):
                    font = cv2.FONT_HERSHEY_SIMPLEX
                    cv2.putText(picture, said, at, font, size, colour, thick, cv2.LINE_AA)
            if picture.shape[1::-1] == self.size:  # OpenCV drops others in silence
                self.writer.write(picture)

    def __exit__(self, kind, error, trace) -> None:
        with self.asides:
            if self.writer is None:
                return
            is_open = self.writer.isOpened()
            self.writer.release()
            if kind is None and is_open:
                with drawing(self.path.parent):
                    self.part.replace(self.path)
                    log.info(f"With the points drawn: {self.path}")


def draw_points(picture: np.ndarray, points: np.ndarray) -> None:
    """Draw points (K, 2) into a picture (H, W, 3) BGR, as large as the face asks for."""
    shown = points[np.isfinite(points).all(1)]
    if not len(shown):
        return
    side = float(np.ptp(shown, axis=0).max())
    radius = max(0.6, side / DOTS / (2 if len(points) > MANY else 1) * 2)
    limit = 4 * max(picture.shape)
    for x, y in shown.clip(-limit, limit):
        centre = (round(x * 2**SHIFT), round(y * 2**SHIFT))
        cv2.circle(picture, centre, round(radius * 2**SHIFT), PREDICTED, -1, cv2.LINE_AA, SHIFT)


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
