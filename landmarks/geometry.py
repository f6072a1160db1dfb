"""The one pixel convention, and the matrices between original image and network input.

    pixel:     0     1     2     3          A pixel's centre has integer coordinates (OpenCV):
             +-----+-----+-----+-----+      the image of width W reaches from -0.5 to W - 0.5.
             |  o  |  o  |  o  |  o  |      Resizing by s maps x to (x + 0.5) s - 0.5,
             +-----+-----+-----+-----+      mirroring maps x to W - 1 - x.
    edge:  -0.5   0.5   1.5   2.5   3.5

Every map is one 2x3 matrix [[a, b, tx], [c, d, ty]] acting on (x, y): x' = a x + b y + tx. The same
matrix warps the pixels and moves the points. `crop_matrix` goes from original image to input;
`invert` gives the way back. All functions take NumPy arrays; `transform` and `invert` also take
torch tensors, and leading batch axes.
"""

from typing import Literal, NamedTuple

import numpy as np

Crop = Literal["letterbox", "stretch", "center"]  # of the whole image
CropName = Literal[Crop, "box"]
MAX_SIDE = 32_000  # pixels of a side of what is warped: OpenCV 4 takes no more than 32,766


class BoxCrop(NamedTuple):
    """The crop that follows each face's box, see `box_matrix`; `margin` is its share.

    What lies outside of the middle of the square, `shown` shares of its width and height, is black.
    """

    margin: float
    shown: tuple[float, float] = (1.0, 1.0)


def scale_matrix(sx: float, sy: float) -> np.ndarray:
    """Return the (2, 3) matrix of resizing by sx, sy about the image's corner at (-0.5, -0.5)."""
    return np.array([[sx, 0.0, (sx - 1) / 2], [0.0, sy, (sy - 1) / 2]])


def crop_rectangle(crop: Crop, width: int, height: int, size: int) -> tuple[int, int, int, int]:
    """Return x, y, width, height, whole input pixels, of where an image lands in a square input.

    Args:
        crop: "letterbox" shows the whole image, centred, on black; "stretch" fills the square with
            it; "center" scales the short side to `size` and cuts the long side about the middle.
        width, height: of the image, in pixels.
        size: side of the input, in pixels.

    Whole pixels let a plain resize do the work; proportions change by half a pixel at most.
    """
    if crop == "stretch":
        return 0, 0, size, size
    side = max(width, height) if crop == "letterbox" else min(width, height)
    across, down = max(1, round(width * size / side)), max(1, round(height * size / side))
    return (size - across) // 2, (size - down) // 2, across, down


def crop_matrix(crop: Crop, width: int, height: int, size: int) -> np.ndarray:
    """Return the (2, 3) float64 matrix from an image's pixels to a square input's pixels.

    Arguments as for `crop_rectangle`.
    """
    x, y, across, down = crop_rectangle(crop, width, height, size)
    matrix = scale_matrix(across / width, down / height)
    matrix[:, 2] += x, y
    return matrix


def box_matrix(box: np.ndarray, margin: float, size: int) -> np.ndarray:
    """Return the (2, 3) float64 matrix from an image's pixels to the square input about a box.

    Args:
        box: x0, y0, x1, y1, the positions of its edges in the coordinates drawn above: the box
            around the pixel columns 3 to 5 reaches from 2.5 to 5.5.
        margin: share of the box's larger side that is added to it at every side.
        size: side of the input, in pixels.

    The square has the box's centre. It need not be whole pixels, and may reach over the image.
    """
    x0, y0, x1, y1 = (float(edge) for edge in box)
    scale = size / (max(x1 - x0, y1 - y0) * (1 + 2 * margin))
    middle = (size - 1) / 2
    return np.array(
        [
            [scale, 0.0, middle - scale * (x0 + x1) / 2],
            [0.0, scale, middle - scale * (y0 + y1) / 2],
        ]
    )


def compose(second, first):
    """Return the (..., 2, 3) matrix that applies `first`, then `second`."""
    linear = second[..., :, :2] @ first[..., :, :2]
    shift = second[..., :, :2] @ first[..., :, 2:] + second[..., :, 2:]
    return np.concatenate([linear, shift], axis=-1)


def invert(matrix):
    """Return the inverse of (..., 2, 3) matrices, NumPy or torch, of the same type and dtype."""
    a, b, tx = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 0, 2]
    c, d, ty = matrix[..., 1, 0], matrix[..., 1, 1], matrix[..., 1, 2]
    inverse = matrix * 0
    determinant = a * d - b * c
    inverse[..., 0, 0], inverse[..., 0, 1] = d / determinant, -b / determinant
    inverse[..., 1, 0], inverse[..., 1, 1] = -c / determinant, a / determinant
    inverse[..., 0, 2] = (b * ty - d * tx) / determinant
    inverse[..., 1, 2] = (c * tx - a * ty) / determinant
    return inverse


def transform(matrix, points):
    """Move points (..., K, 2) by matrices (..., 2, 3), NumPy or torch; NaN stays NaN."""
    return points @ matrix[..., :, :2].swapaxes(-1, -2) + matrix[..., None, :, 2]
