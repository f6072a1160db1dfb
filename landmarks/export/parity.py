"""How far an exported file's points are from the model's own."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from landmarks.data.images.python_images import gather_faces
from landmarks.inference.finder import Finder, Framing

MAX_DIFFERENCE = 0.05  # original pixels between a file's point and the model's, at most


class Parity(NamedTuple):
    """Differences of points in original pixels, and seconds a face of the model and of the file."""

    median: float
    largest: float
    eager_seconds: float
    file_seconds: float


def compare(
    finder: Finder,
    run: Callable[[np.ndarray, np.ndarray | None], tuple],
    photos: Sequence[np.ndarray],
    boxes: np.ndarray | None,
) -> Parity:
    """Return how a file's points differ from those of the model that it was made from.

    Args:
        finder: the model.
        run: what the file does: photos (N, H, W, 3) RGB and boxes (N, 4) or None -> points and
            certainty.
        photos: (H, W, 3) uint8 BGR, of any sizes.
        boxes: (N, 4) of the faces, if the model looks at boxes.
    """
    faces = gather_faces(list(photos), channels="bgr", boxes=boxes)
    eager_began = time.perf_counter()
    batches = finder.batches(faces, Framing(batch_size=1, workers=0))
    found = np.concatenate([points for _, points, _ in finder.predict(batches)])
    began = time.perf_counter()
    others = []
    for i, photo in enumerate(photos):
        box = None if boxes is None else boxes[i : i + 1]
        others.append(run(np.ascontiguousarray(photo[None, ..., ::-1]), box)[0])
    ended = time.perf_counter()
    known = np.setdiff1d(np.arange(finder.num_points), finder.unlabelled)
    apart = np.linalg.norm((found - np.concatenate(others))[:, known], axis=2)
    count = len(photos)
    seconds = (began - eager_began) / count, (ended - began) / count
    return Parity(float(np.median(apart)), float(apart.max()), *seconds)
