"""One face's pixels from the original image to the network's input."""

import math

import cv2
import numpy as np

from landmarks.data.decoding import decode, jpeg_size, read_bytes, reduction
from landmarks.data.faces import ExifName
from landmarks.geometry import Crop, compose, crop_matrix, crop_rectangle, scale_matrix

REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


def read_face(
    path: str,
    crop: Crop | np.ndarray,
    out: np.ndarray,
    margin: int = 0,
    exif: ExifName = "rotate",
) -> np.ndarray | None:
    """Read an image file into `out`, see `crop_face`; None if it cannot be read.

    A JPEG that will be shrunk is decoded at a half, a quarter or an eighth of its size, which is
    faster than decoding it whole.
    """
    data = read_bytes(path)
    if data is None:
        return None
    header = jpeg_size(data, exif)
    reduced = choose_reduction(header, crop, out.shape[0] - 2 * margin)
    image = decode(data, REDUCED[reduced], exif)
    if image is None:
        return None
    return crop_face(image, crop, out, header[:2] if header else None, reduced, margin)


def choose_reduction(
    header: tuple[int, int, int] | None, crop: Crop | np.ndarray, size: int
) -> int:
    """Return by how much a JPEG of this header is reduced in decoding, for an input's side.

    The reduced image, taken for an original, is averaged over what is left of the original's
    blocks: an exported model, which is given it alone, then cuts and scales as `crop_face` does.
    """
    if header is None:
        return 1
    width, height, _ = header
    blocks = averaging(crop, width, height, size)
    reduced = reduction(header, min(blocks))
    while reduced > 1 and not isinstance(crop, np.ndarray):
        left = averaging(crop, width // reduced, height // reduced, size)
        if left == (blocks[0] // reduced, blocks[1] // reduced):
            break
        reduced //= 2
    return reduced


def read_reduced(
    path: str, crop: Crop, size: int | None, exif: ExifName = "rotate"
) -> tuple[np.ndarray | None, int]:
    """Return an image file's pixels as `read_face` decodes them, and how much they are reduced.

    Args:
        size: side of the input; None: they are not reduced.
    """
    data = read_bytes(path)
    if data is None:
        return None, 1
    header = jpeg_size(data, exif)
    reduced = choose_reduction(header, crop, size) if size else 1
    image = decode(data, REDUCED[reduced], exif)
    if reduced > 1 and image is not None:  # whole blocks alone, as `crop_face`
        image = image[: header[1] // reduced, : header[0] // reduced]
    return image, reduced


def averaging(crop: Crop | np.ndarray, width: int, height: int, size: int) -> tuple[int, int]:
    """Return how many columns and rows of an image may be averaged before it is scaled.

    The scale that is left lies above 1/2, where interpolation between neighbours skips no pixel. It
    may reach 17/16: an image a little smaller than twice the input is halved all the same.
    """
    if isinstance(crop, np.ndarray):
        blocks = max(1, min(int(17 / (16 * crop[0, 0])), width, height))
        return blocks, blocks
    _, _, across, down = crop_rectangle(crop, width, height, size)
    # No more than there are: of a thin image that has less than a pixel of the input.
    columns = min(width, max(1, (width + width // 16) // across))
    return columns, min(height, max(1, (height + height // 16) // down))


def crop_face(
    image: np.ndarray,
    crop: Crop | np.ndarray,
    out: np.ndarray,
    original: tuple[int, int] | None = None,
    reduced: int = 1,
    margin: int = 0,
) -> np.ndarray:
    """Scale an image into `out` (C, C, 3) RGB; return the (2, 3) matrix from original image to out.

    Args:
        image: (H, W, 3) uint8 BGR, already `reduced` times smaller than the original.
        crop: see `landmarks.geometry.crop_rectangle`; or the matrix itself, one of
            `landmarks.geometry.box_matrix`, which is then followed exactly.
        out: comes zeroed: what lies outside the image stays black.
        original: width and height of the original image; None: `image` is the original.
        reduced: divides what `averaging` returns, rounded down to a power of two.
        margin: pixels of `out` at every side that surround the crop; a matrix counts them already.

    Shrinking is by area. What does not fill a whole block of averaged pixels is cut off at the
    right and the bottom.
    """
    width, height = original or (image.shape[1], image.shape[0])
    side = out.shape[0]
    size = side - 2 * margin
    columns, rows = averaging(crop, width, height, size)
    if isinstance(crop, np.ndarray):
        _warp(image, crop, out, (width, height), columns // reduced, reduced)
        return crop
    columns, rows = columns // reduced, rows // reduced
    width -= width % (columns * reduced)
    height -= height % (rows * reduced)
    image = image[: height // reduced, : width // reduced]
    if columns > 1 or rows > 1:
        averaged = (image.shape[1] // columns, image.shape[0] // rows)
        image = cv2.resize(image, averaged, interpolation=cv2.INTER_AREA)
    x, y, across, down = crop_rectangle(crop, width, height, size)
    if image.shape[:2] != (down, across):
        image = cv2.resize(image, (across, down), interpolation=cv2.INTER_LINEAR)
    x, y = x + margin, y + margin
    image = image[max(0, -y) : side - y, max(0, -x) : side - x]
    place = out[max(0, y) : max(0, y) + image.shape[0], max(0, x) : max(0, x) + image.shape[1]]
    place[:] = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    matrix = crop_matrix(crop, width, height, size)
    matrix[:, 2] += margin
    return matrix


def blacken(square: np.ndarray, shown: tuple[float, float]) -> None:
    """Make a square (S, S, 3) black outside of its middle, `shown` shares of width and height."""
    for axis, share in zip((1, 0), shown, strict=True):
        edge = round(len(square) * (1 - share) / 2)
        lines = np.moveaxis(square, axis, 0)
        lines[:edge] = lines[len(square) - edge :] = 0


def _warp(
    image: np.ndarray,
    matrix: np.ndarray,
    out: np.ndarray,
    original: tuple[int, int],
    blocks: int,
    reduced: int,
) -> None:
    """Warp what a scale and shift shows of an image into `out` (S, S, 3) RGB.

    The blocks to average lie on a grid from the image's corner, so that they are the same pixels
    whether the decoder has averaged already or not. Only blocks in sight are touched.
    """
    size, step = out.shape[0], blocks * reduced  # original pixels an averaged one
    spans = []
    for axis, length in enumerate(original):
        scale, shift = matrix[axis, axis], matrix[axis, 2]
        first, last = (((edge - shift) / scale + 0.5) / step for edge in (-0.5, size - 0.5))
        # One block more at each end, for the interpolation at the edge.
        begin, end = max(0, math.floor(first) - 1), min(length // step, math.ceil(last) + 1)
        if end <= begin:
            return  # nothing of the image is in sight
        spans.append((begin, end))
    (left, right), (top, bottom) = spans
    image = image[top * blocks : bottom * blocks, left * blocks : right * blocks]
    if blocks > 1:
        image = cv2.resize(image, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    to_original = scale_matrix(step, step)
    to_original[:, 2] += left * step, top * step
    matrix = compose(matrix, to_original)
    image = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR)
    out[:] = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
