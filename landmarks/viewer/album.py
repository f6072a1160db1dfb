"""What the page shows, face by face: nothing is loaded before it is looked at."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from landmarks.data.decoding import read_image
from landmarks.data.faces import Faces
from landmarks.errors import UserError
from landmarks.files import writing

SIDE = 640  # pixels of a picture's longer side, at most
QUALITY = 85
UNKNOWN = "unknown"


class Album:
    """N faces, in any order, with what is known of each.

    Args:
        faces: N, with labels or without.
        predicted: (M, K, 2), which may be mapped; None: there is no model.
        at: (N,) where each face stands in it.
        columns: numbers (N,) by name that faces can be sorted by, NaN where unknown.
        regions: name -> [first, last].
        exclude: the file that names of bad faces are appended to.
    """

    def __init__(
        self,
        faces: Faces,
        predicted: np.ndarray | None,
        at: np.ndarray | None,
        columns: dict[str, np.ndarray],
        regions: dict,
        exclude: Path,
    ):
        self.faces, self.predicted, self.at = faces, predicted, at
        self.columns, self.regions, self.exclude = columns, regions, exclude
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

    def picture(self, row: int) -> tuple[bytes, float] | None:
        """Return a JPEG of a face's image, and how much it was scaled; None: it cannot be read."""
        image = read_image(self.faces.path(row), exif=self.faces.exif)
        if image is None:
            return None
        scale = min(1.0, SIDE / max(image.shape[:2]))
        if scale < 1:
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        _, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        return coded.tobytes(), scale

    def points(self, row: int) -> dict:
        """Return a face's true and predicted points, original pixels, as plain data."""
        sets: dict[str, Sequence] = {}
        if self.faces.points is not None:
            sets["truth"] = self.faces.points[row]
        if self.predicted is not None:
            sets["predicted"] = self.predicted[self.at[row]]
        return {
            key: [
                None if not np.isfinite(point).all() else [round(float(v), 2) for v in point]
                for point in np.asarray(points)
            ]
            for key, points in sets.items()
        }

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
