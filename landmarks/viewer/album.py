"""What the page shows, face by face: nothing is loaded before it is looked at."""

import base64
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import cv2
import numpy as np

from landmarks.data.faces import Faces
from landmarks.data.images.decoding import read_image
from landmarks.errors import UserError
from landmarks.files import writing

SIDE = 640  # pixels of a picture's longer side, at most
QUALITY = 85
UNKNOWN = "unknown"


class Heatmap(NamedTuple):
    """A map over a model's input, of a face.

    values (h, w), 0 to 1; size: the side of the square input that they cover, in pixels; to_image
    (2, 3): from the input's pixels to the photo's.
    """

    values: np.ndarray
    size: int
    to_image: np.ndarray


class Album:
    """N faces, in any order, with what is known of each.

    Args:
        faces: N, with labels or without.
        predicted: (M, K, 2), which may be mapped; None: there is no model.
        at: (N,) where each face stands in it.
        columns: numbers (N,) by name that faces can be sorted by, NaN where unknown.
        regions: name -> [first, last].
        exclude: the file that names of bad faces are appended to.
        heatmap: row -> the face's heatmap, None where its image cannot be read; None: the model has
            none. It is called once at a time.
    """

    def __init__(
        self,
        faces: Faces,
        predicted: np.ndarray | None,
        at: np.ndarray | None,
        columns: dict[str, np.ndarray],
        regions: dict,
        exclude: Path,
        heatmap: Callable[[int], Heatmap | None] | None = None,
    ):
        self.faces, self.predicted, self.at = faces, predicted, at
        self.columns, self.regions, self.exclude = columns, regions, exclude
        self.heatmap, self._lock = heatmap, Lock()
        self.bad = read_marked(exclude)
        names = np.argsort(faces.names, kind="stable")
        self.orders = {"file": np.arange(len(faces)), "name": names}
        for key, values in columns.items():
            worst_first = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")
            self.orders[key] = worst_first

    def __len__(self) -> int:
        return len(self.faces)

    def page(self, sort: str, start: int, count: int, backwards: bool = False) -> list[dict]:
        """Return what is told of `count` faces from place `start` of an order.

        Raises:
            KeyError: if there is no such order.
        """
        order = self.orders[sort]
        order = order[::-1] if backwards else order
        return [self._tell(int(row)) for row in order[start : start + count]]

    def _tell(self, row: int) -> dict:
        numbers = {key: values[row] for key, values in self.columns.items()}
        known = {key: round(float(v), 4) for key, v in numbers.items() if np.isfinite(v)}
        name = self.faces.name(row)
        return {"row": row, "name": name, "bad": name in self.bad, **known}

    def picture(self, row: int) -> bytes | None:
        """Return a JPEG of a face's image; None: it cannot be read."""
        image = self._read(row)
        if image is None:
            return None
        scale = min(1.0, SIDE / max(image.shape[:2]))
        if scale < 1:
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        _, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        return coded.tobytes()

    def points(self, row: int) -> dict:
        """Return a face's true and predicted points as plain data, and its image's size.

        All are in original pixels. Where the image cannot be read, the size is that of the points.
        """
        sets: dict[str, Sequence] = {}
        if self.faces.points is not None:
            sets["truth"] = self.faces.points[row]
        if self.predicted is not None:
            sets["predicted"] = self.predicted[self.at[row]]
        image = self._read(row)
        height, width = image.shape[:2] if image is not None else _reach(list(sets.values()))
        told = {
            key: [
                None if not np.isfinite(point).all() else [round(float(v), 2) for v in point]
                for point in np.asarray(points)
            ]
            for key, points in sets.items()
        }
        return {"width": width, "height": height, "readable": image is not None, "sets": told}

    def heat(self, row: int) -> dict | None:
        """Return a face's heatmap as plain data: a PNG, the side that it covers, and an SVG matrix.

        None: there is none, or the image cannot be read.
        """
        if self.heatmap is None:
            return None
        with self._lock:
            found = self.heatmap(row)
        if found is None:
            return None
        (a, c, e), (b, d, f) = np.asarray(found.to_image, float).round(5).tolist()
        return {"png": paint(found.values), "size": found.size, "matrix": [a, b, c, d, e, f]}

    def _read(self, row: int) -> np.ndarray | None:
        return read_image(self.faces.path(row), exif=self.faces.exif)

    def mark(self, row: int) -> None:
        """Name a face bad: append it to the exclude file, once.

        Raises:
            UserError: if the file cannot be written.
        """
        name = self.faces.name(row)
        if name in self.bad:
            return
        is_new = not self.exclude.exists()
        self.exclude.parent.mkdir(parents=True, exist_ok=True)
        with writing(self.exclude), self.exclude.open("a", encoding="utf-8", newline="") as file:
            file.write(("file_name\n" if is_new else "") + _quote(name) + "\n")
        self.bad.add(name)


def paint(values: np.ndarray) -> str:
    """Return a map (h, w), 0 to 1, as a PNG in base64, which 0 leaves out and 1 shows yellow."""
    share = np.nan_to_num(values.astype(np.float32), nan=0.0).clip(0, 1)
    share = cv2.resize(share, None, fx=4, fy=4, interpolation=cv2.INTER_LINEAR)
    level = (255 * share).round().astype(np.uint8)
    colour = cv2.applyColorMap(level, cv2.COLORMAP_INFERNO)
    _, coded = cv2.imencode(".png", np.dstack([colour, level]))
    return base64.b64encode(coded.tobytes()).decode()


def _reach(sets: list) -> tuple[int, int]:
    """Return height and width that hold all points."""
    known = [np.asarray(points)[np.isfinite(points).all(1)] for points in sets]
    farthest = np.concatenate([np.zeros((1, 2)), *known]).max(0)
    width, height = np.ceil(np.maximum(farthest + 1, 1)).astype(int).tolist()
    return height, width


def read_marked(path: Path) -> set[str]:
    """Return the names that this page has marked before.

    Raises:
        UserError: if the file is another kind of table.
    """
    if not path.exists():
        return set()
    lines = path.read_text(encoding="utf-8").splitlines()
    if not lines or lines[0] != "file_name":
        raise UserError(
            f"exclude={path} is no list that this command has begun (its first line is file_name): "
            f"name another file."
        )
    return {line[1:-1].replace('""', '"') if line[:1] == '"' else line for line in lines[1:]}


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if set(name) & set(',"') else name
