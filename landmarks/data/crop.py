"""One face's pixels from the original image to the network's input."""

import cv2
import numpy as np

from landmarks.geometry import compose, crop_matrix, invert, scale_matrix, shrink_factor


def crop_face(image: np.ndarray, crop: str, out: np.ndarray) -> np.ndarray:
    """Warp an image (H, W, 3) BGR into `out` (S, S, 3) RGB; return the (2, 3) matrix image -> out.

    Shrinks by area: whole-number averaging first, a bilinear warp for the rest. What lies outside
    the image is black.
    """
    height, width = image.shape[:2]
    size = out.shape[0]
    matrix = crop_matrix(crop, width, height, size)
    factor = shrink_factor(matrix)
    warp = matrix
    if factor > 1:
        image = _average(image, factor)
        warp = compose(matrix, invert(scale_matrix(1 / factor, 1 / factor)))
    warped = cv2.warpAffine(image, warp, (size, size), flags=cv2.INTER_LINEAR)
    cv2.cvtColor(warped, cv2.COLOR_BGR2RGB, dst=out)
    return matrix


def _average(image: np.ndarray, factor: int) -> np.ndarray:
    """Average factor x factor pixels; the last row and column are repeated to fill a block."""
    height, width = image.shape[:2]
    bottom, right = -height % factor, -width % factor
    if bottom or right:
        image = cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    side = ((width + right) // factor, (height + bottom) // factor)
    return cv2.resize(image, side, interpolation=cv2.INTER_AREA)
