"""Where a model expects the face in its input, and the squares of photos that put it there."""

import numpy as np
from torch.utils.data import Dataset

from landmarks.data.boxes import have_size, point_boxes, sides_of
from landmarks.data.cropped import is_plausible

SAMPLE = 512  # training faces that are measured


def measure_places(source: Dataset, rows: np.ndarray) -> dict | None:
    """Return where the labelled points' boxes lie in the inputs, over at most 512 of these faces.

    Returns:
        Plain JSON data, in shares of the input's side: `center`, the mean middle (x, y) of the
        boxes from the input's left and top edge; `side`, the mean root of their area; and the
        standard deviations `center_spread` (x, y) and `side_spread`. None where no face has two
        labelled points.
    """
    sample = rows[np.linspace(0, len(rows) - 1, min(len(rows), SAMPLE)).astype(int)]
    points = source.__getitems__(sample.tolist()).points.numpy()
    points = np.where(is_plausible(points, source.size)[..., None], points, np.nan)
    boxes = point_boxes(points)
    boxes = (boxes[have_size(boxes)] + 0.5) / source.size
    if not len(boxes):
        return None
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    sides = sides_of(boxes)
    numbers = {"center": middles.mean(0), "center_spread": middles.std(0)}
    numbers |= {"side": sides.mean(), "side_spread": sides.std()}
    return {name: np.round(value, 6).tolist() for name, value in numbers.items()}
