"""A model as a program uses it: images in, points in the images' own pixels out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from landmarks.data.given import Channels, gather_faces, own_threads
from landmarks.layout import Layout


class Finder(Protocol):
    """What finds points: `Predictor`, several of them, or an exported model.

    Attributes:
        layout: what the K points are.
        num_points: K.
        unlabelled: points that no training face had a label of.
        certainty: what `predict` yields beside points: "confidence", 0 to 1; "spread", in original
            pixels, the standard deviation of several looks; or "none", NaN.
        description: the model in words.
    """

    layout: Layout
    num_points: int
    unlabelled: list[int]
    certainty: str
    description: str

    def batches(self, faces, *, batch_size: int, **framing) -> Any:
        """Return the batches of all faces, in order; their `source.faces` are those framed."""

    def predict(self, batches) -> Any:
        """Yield each batch, its points (B, K, 2) in original pixels and `certainty` (B, K)."""


@dataclass(frozen=True, eq=False)
class Landmarks:
    """What was found in N faces.

    Attributes:
        points: (N, K, 2) float32, x and y in the images' own pixels; the centre of an image's first
            pixel is 0, 0. NaN for a point that no training face had a label of.
        confidence: (N, K) float32, 0 to 1; NaN where the model does not know it.
        spread: (N, K) float32 pixels, how far several looks at a face lie apart (their standard
            deviation); None where there was one look, or the model knows its confidence.
        names: K names of the points.
        regions: name of a part of the face -> indices of its points.
    """

    points: np.ndarray
    confidence: np.ndarray
    spread: np.ndarray | None
    names: list[str]
    regions: dict[str, range]

    def __len__(self) -> int:
        """N."""
        return len(self.points)


class Model:
    """Finds the points of faces in images of any size and form.

    Args:
        finder: what finds them, see `Finder`; `landmarks.load` makes it.

    Attributes:
        finder: the same.
        names: K names of the points.
        regions: name of a part of the face -> indices of its points.
    """

    def __init__(self, finder: Finder):
        self.finder = finder
        self.names: list[str] = finder.layout.point_names()
        ranges = finder.layout.regions.items()
        self.regions = {name: range(first, last + 1) for name, (first, last) in ranges}

    @property
    def num_points(self) -> int:
        """K."""
        return self.finder.num_points

    def __repr__(self) -> str:
        return f"<landmarks.Model: {self.finder.description}>"

    def predict(
        self,
        images: Any,
        *,
        channels: Channels | None = None,
        boxes: np.ndarray | Sequence[Sequence[float]] | None = None,
        batch_size: int = 32,
    ) -> Landmarks:
        """Find the points of one face in each image.

        Args:
            images: one image or a sequence of them, of any sizes: paths, PIL images, NumPy arrays
                (H, W, 3) uint8, torch tensors (3, H, W) uint8 or float 0 to 1.
            channels: "bgr" (as OpenCV reads) or "rgb", the order of an array's colours. It must be
                said of arrays; tensors are RGB unless it is.
            boxes: (N, 4), x0, y0, x1, y1 of each face: for a model trained with crop=box.
            batch_size: faces computed at once.

        Returns:
            N faces in the order of the images; N is 1 for one image.

        Raises:
            landmarks.UserError: for what is no image, naming which, and where memory runs out.
        """
        faces = gather_faces(images, channels=channels, boxes=boxes, exif=self.exif)
        with own_threads():
            batches = self.finder.batches(faces, batch_size=batch_size, workers=0)
            found = [(points, sure) for _, points, sure in self.finder.predict(batches)]
        points, sure = (np.concatenate(values) for values in zip(*found, strict=True))
        return self._result(points, sure)

    @property
    def exif(self) -> str:
        """How photos are turned: "rotate" as their EXIF orientation says, or "ignore" it."""
        return self.finder.exif

    def _result(self, points: np.ndarray, sure: np.ndarray) -> Landmarks:
        points[:, self.finder.unlabelled] = np.nan
        is_spread = self.finder.certainty == "spread"
        confidence = np.full_like(sure, np.nan) if is_spread else sure
        return Landmarks(
            points, confidence, sure if is_spread else None, self.names, dict(self.regions)
        )
