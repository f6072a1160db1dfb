"""One face's pixels from the original image to the network's input."""

import math

import cv2
import numpy as np

from landmarks.data.faces import ExifName
from landmarks.data.images.decoding import decode, jpeg_size, read_bytes, reduction
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
    """Return by how much a JPEG of this header is reduced in decoding, for an input's side."""
    if header is None:
        return 1
    return reduction(header, _power_of_blocks(crop, *header[:2], size)[0])


def read_reduced(
    path: str, crop: Crop, size: int | None, exif: ExifName = "rotate"
) -> tuple[np.ndarray | None, tuple[int, int]]:
    """Return an image file's pixels for an exported model, and by how much x and y are reduced.

    The model takes them for an original, and averages what is left as `read_face` does. It would
    not do so of some JPEGs: they are averaged here, or given whole.

    Args:
        size: side of the input; None: they are not reduced.
    """
    data = read_bytes(path)
    if data is None:
        return None, (1, 1)
    header = jpeg_size(data, exif)
    reduced = choose_reduction(header, crop, size) if size else 1
    if reduced == 1:
        return decode(data, REDUCED[1], exif), (1, 1)
    width, height, _ = header
    columns, rows = averaging(crop, width, height, size)
    left = columns // reduced, rows // reduced
    is_left = averaging(crop, width // reduced, height // reduced, size) == left
    if not is_left:
        is_even = columns == rows or crop == "stretch"  # averaged, it has the original's shape
        is_whole = averaging(crop, width // columns, height // rows, size) == (1, 1)
        if not (is_even and is_whole):
            return decode(data, REDUCED[1], exif), (1, 1)
    image = decode(data, REDUCED[reduced], exif)
    if image is None:
        return None, (1, 1)
    if is_left:  # whole blocks alone, as `crop_face`
        return image[: height // reduced, : width // reduced], (reduced, reduced)
    across, down = width // columns, height // rows
    image = image[: down * left[1], : across * left[0]]
    return cv2.resize(image, (across, down), interpolation=cv2.INTER_AREA), (columns, rows)


def averaging(crop: Crop | np.ndarray, width: int, height: int, size: int) -> tuple[int, int]:
    """Return how many columns and rows of an image are averaged before it is scaled.

    They are as many for every kind of file: those that are averaged of a JPEG, whose decoder takes
    2, 4 or 8 at once, where the rest is whole blocks of these. So models see of an array or a PNG
    what they see of a JPEG of its size.
    """
    power, blocks = _power_of_blocks(crop, width, height, size)
    return blocks[0] // power * power, blocks[1] // power * power


def _power_of_blocks(
    crop: Crop | np.ndarray, width: int, height: int, size: int
) -> tuple[int, tuple[int, int]]:
    """Return 1, 2, 4 or 8, which a decoder may average at once, and the `_blocks` it is chosen of.

    The reduced image, taken for an original, has as many blocks as are left of the original's.
    """
    blocks = _blocks(crop, width, height, size)
    power = 1 << (min(8, *blocks).bit_length() - 1)
    while power > 1 and not isinstance(crop, np.ndarray):
        left = _blocks(crop, width // power, height // power, size)
        if left == (blocks[0] // power, blocks[1] // power):
            break
        power //= 2
    return power, blocks


def _blocks(crop: Crop | np.ndarray, width: int, height: int, size: int) -> tuple[int, int]:
    """Return how many columns and rows of an image could be averaged before it is scaled.

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
        reduced: divides what `averaging` returns.
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
