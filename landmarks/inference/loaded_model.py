"""A model as a program uses it: images in, points in the images' own pixels out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from landmarks.data.crops.boxes import refuse_outside
from landmarks.data.faces import Faces
from landmarks.data.images.images_from_python import Channels, gather_faces, own_threads
from landmarks.errors import UnreadableImages, UserError, say_count
from landmarks.inference.finder_protocol import Finder, Framing

LOOKS = 2  # at a face in a larger photo


@dataclass(frozen=True, eq=False, repr=False)
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

    def __repr__(self) -> str:
        """N, K, and how sure they are on average."""
        sure = {"confidence": self.confidence, "spread": self.spread}
        sure = {key: v for key, v in sure.items() if v is not None and np.isfinite(v).any()}
        known = "".join(f", mean {key} {np.nanmean(v):.3g}" for key, v in sure.items())
        faces, points = say_count(len(self), "face"), say_count(self.points.shape[1], "point")
        return f"<Landmarks: {faces} of {points}{known}>"


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
            boxes: (N, 4), x0, y0, x1, y1 of each face. A model trained with crop=box
                box_from=data is shown them as in training. Any other looks twice: at the box,
                widened to the framing that it was trained with, then about the points that it
                found there.
            batch_size: faces computed at once.

        Returns:
            N faces in the order of the images; N is 1 for one image.

        Raises:
            landmarks.UserError: for what is no image, naming which; for boxes without a size or
                outside of their image; and where memory runs out.
        """
        if type(batch_size) is not int or batch_size < 1:
            raise UserError(f"batch_size={batch_size!r}: a whole number from 1 is needed.")
        faces = gather_faces(images, channels=channels, boxes=boxes, exif=self.finder.exif)
        self._refuse_unframed(faces.boxes is not None)
        if faces.boxes is not None:
            refuse_outside(faces)
        try:
            with own_threads():
                found = [(points, sure) for _, points, sure in self._find(faces, batch_size)]
        except UnreadableImages as error:
            raise UserError(
                f"{error.paths[0]} is no image that can be read: give another, or leave it out."
            ) from error
        points, sure = (np.concatenate(values) for values in zip(*found, strict=True))
        return self._result(points, sure)

    def _refuse_unframed(self, has_boxes: bool) -> None:
        """Refuse what the model cannot frame, in the words of Python."""
        is_boxed = self.finder.config["crop"] == "box"
        if is_boxed and not has_boxes:
            raise UserError(
                "This model was trained with crop=box, so that it needs to know where each face "
                "is: give boxes=[[x0, y0, x1, y1], ...], one for each image."
            )
        if has_boxes and self._looks_twice() and self.finder.places is None:
            raise UserError(
                "This model was trained before checkpoints kept where the face lies in the input, "
                "so that it cannot look at boxes: cut the faces out yourself and leave boxes out, "
                "or train it on with this version."
            )

    def _looks_twice(self) -> bool:
        """Return whether boxes are other ones than the model was shown in training."""
        config = self.finder.config
        return config["crop"] != "box" or config["box_from"] == "points"

    def _find(self, faces: Faces, batch_size: int) -> Any:
        framing = Framing(batch_size=batch_size, workers=0)
        if faces.boxes is not None and self._looks_twice():
            from landmarks.inference.photo_faces import look_at_faces

            return look_at_faces(self.finder, faces, framing, LOOKS)
        return self.finder.predict(self.finder.batches(faces, framing))

    def _result(self, points: np.ndarray, sure: np.ndarray) -> Landmarks:
        points[:, self.finder.unlabelled] = np.nan
        is_spread = self.finder.certainty == "spread"
        confidence = np.full_like(sure, np.nan) if is_spread else sure
        return Landmarks(
            points, confidence, sure if is_spread else None, self.names, dict(self.regions)
        )
