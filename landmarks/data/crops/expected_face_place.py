"""Where a model expects the face in its input, and the squares of photos that put it there."""

import numpy as np
from torch.utils.data import Dataset

from landmarks.data.batches.cropped_faces import is_plausible
from landmarks.data.crops.boxes import have_size, point_boxes, sides_of
from landmarks.geometry import CropName

SAMPLE = 512  # training faces that are measured


def measure_places(source: Dataset, rows: np.ndarray, crop: CropName) -> dict | None:
    """Return where the labelled points' boxes lie in the inputs, over at most 512 of these faces.

    Returns:
        Plain JSON data, in shares of the input's side: `center`, the mean middle (x, y) of the
        boxes from the input's left and top edge; `side`, the mean root of their area; the standard
        deviations `center_spread` (x, y) and `side_spread`; and `shown`, of its width and height,
        what a photo of the usual shape fills: less than 1 where crop=letterbox pads with black.
        None where no face has two labelled points.
    """
    sample = rows[np.linspace(0, len(rows) - 1, min(len(rows), SAMPLE)).astype(int)]
    batch = source.__getitems__(sample.tolist())
    points = batch.points.numpy()
    points = np.where(is_plausible(points, source.size)[..., None], points, np.nan)
    boxes = point_boxes(points)
    boxes = (boxes[have_size(boxes)] + 0.5) / source.size
    if not len(boxes):
        return None
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    sides = sides_of(boxes)
    numbers = {"center": middles.mean(0), "center_spread": middles.std(0)}
    numbers |= {"side": sides.mean(), "side_spread": sides.std()}
    numbers["shown"] = np.ones(2)
    if crop == "letterbox":
        to_image = batch.to_image[batch.readable].double().numpy()
        numbers["shown"] = _usual_shape(to_image, source.size)
    return {name: np.round(value, 6).tolist() for name, value in numbers.items()}


def _usual_shape(to_image: np.ndarray, size: int) -> np.ndarray:
    """Return width and height, (2,), the larger 1, of the median shape of letterboxed photos.

    Args:
        to_image: (n, 2, 3), input pixels to original ones; the photo's middle is the input's.
        size: side of the input, pixels.
    """
    middles = to_image[:, :, :2].sum(2) * (size - 1) / 2 + to_image[:, :, 2]
    width, height = (2 * middles + 1).T
    shape = np.exp(np.median(np.log(width / height)))
    return np.minimum(1, [shape, 1 / shape])
