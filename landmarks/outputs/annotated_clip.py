"""A clip with points drawn on its frames."""

import logging
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import cv2
import numpy as np

from landmarks.files import aside
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
