"""One image file: its bytes, its pixels, and what its header says of them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np

from landmarks.data.faces import ExifName
from landmarks.data.shards.shard_images import PackedImage

DEPTHS = (8, 10, 12, 14, 16)  # bits that cameras use in files of 16 bits
ORIENTATION, SHORT = 0x112, 3  # the EXIF tag, and the type of its value
EXIF_MARKS = {b"\xff\xd8": b"Exif\0\0", b"\x89P": b"eXIf", b"RI": b"EXIF"}  # JPEG, PNG, WebP
BYTE_ORDERS = {b"II*\0": "little", b"MM\0*": "big"}

# OpenCV turns a TIFF whatever it is told: what leads back from each orientation.
UNTURN = {
    2: lambda shown: cv2.flip(shown, 1),
    3: lambda shown: cv2.rotate(shown, cv2.ROTATE_180),
    4: lambda shown: cv2.flip(shown, 0),
    5: cv2.transpose,
    6: lambda shown: cv2.rotate(shown, cv2.ROTATE_90_COUNTERCLOCKWISE),
    7: lambda shown: cv2.rotate(cv2.transpose(shown), cv2.ROTATE_180),
    8: lambda shown: cv2.rotate(shown, cv2.ROTATE_90_CLOCKWISE),
}


@contextmanager
def silent_opencv() -> Iterator[None]:
    """Keep to itself what OpenCV prints of files that it cannot open; we say it in a sentence."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def read_image(
    path: str, flags: int = cv2.IMREAD_COLOR, exif: ExifName = "rotate"
) -> np.ndarray | None:
    """Return the image of a file, see `decode`, or None if it cannot be read whole."""
    data = read_bytes(path)
    return None if data is None else decode(data, flags, exif)


def image_size(path: str, exif: ExifName = "rotate") -> tuple[int, int] | None:
    """Return width and height of a file's image as `read_image` shows it; None: it is unreadable.

    Of a JPEG only the header is read.
    """
    data = read_bytes(path)
    header = jpeg_size(data, exif) if data else None
    if header is not None:
        return header[:2]
    image = None if data is None else decode(data, exif=exif)
    return None if image is None else image.shape[1::-1]


def read_bytes(path: str) -> bytes | None:
    """Return a file's content, or None if it cannot be read."""
    if isinstance(path, PackedImage):
        return path.read()
    try:
        with open(path, "rb") as file:  # noqa: PTH123 (once a face, every epoch)
            return file.read()
    except (OSError, ValueError):  # of a name that no file can have
        return None


def stamp(path: str) -> tuple[int, int, int]:
    """Return a file's size, mtime and ctime; -1, -1, -1 without a file.

    A replacement may have the same size and mtime; its ctime differs.
    """
    if isinstance(path, PackedImage):
        return path.stamp()
    try:
        stat = os.stat(path)  # noqa: PTH116 (once a face)
    except (OSError, ValueError):
        return -1, -1, -1
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def decode(
    data: bytes, flags: int = cv2.IMREAD_COLOR, exif: ExifName = "rotate"
) -> np.ndarray | None:
    """Return the image in a file's content, uint8, (H, W, 3) in OpenCV's BGR order or grey (H, W).

    None if it is no image, or one that was cut off.

    Args:
        flags: OpenCV's IMREAD_COLOR, IMREAD_GRAYSCALE or a reduced one.
        exif: "rotate" turns the image as its EXIF orientation says; "ignore" leaves it as stored.

    Cameras write 10, 12 or 14 bits as the lowest of 16. So the highest bit that an image uses
    becomes the highest of 8, not the highest of 16.
    """
    if exif == "ignore":
        flags |= cv2.IMREAD_IGNORE_ORIENTATION
    deep = flags if data[:2] == b"\xff\xd8" else flags | cv2.IMREAD_ANYDEPTH
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), deep)
        if image is not None and exif == "ignore" and data[:4] in BYTE_ORDERS:
            image = UNTURN.get(exif_orientation(data), lambda shown: shown)(image)
        if image is not None and image.dtype == np.uint16:
            return (image >> (used_bits(image) - 8)).astype(np.uint8)
        if image is not None and image.dtype != np.uint8:
            return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
    return image


def used_bits(image: np.ndarray) -> int:
    """Return the bits that an image's values take, one of `DEPTHS`."""
    return next(bits for bits in DEPTHS if image.max() < 1 << bits)


def unused_bits(data: bytes) -> int:
    """Return how many of 16 bits a file's content leaves unused; 0 where it has 8 a value."""
    if data[:2] == b"\xff\xd8" or (data[:2] == b"\x89P" and data[24:25] != b"\x10"):
        return 0
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return 0
    return 0 if image is None or image.dtype != np.uint16 else 16 - used_bits(image)


def jpeg_size(data: bytes, exif: ExifName = "rotate") -> tuple[int, int, int] | None:
    """Return width and height of a JPEG as `decode` shows it, and its EXIF orientation, 1 to 8.

    None if it is no JPEG, or if its header is ambiguous: the orientation must not be guessed.
    """
    at, turn, segments = 2, 1, 0
    while data[:2] == b"\xff\xd8" and at + 9 < len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        if marker == 0xE1 and data[at + 4 : at + 10] == EXIF_MARKS[b"\xff\xd8"]:
            turn, segments = _orientation(data[at + 10 : at + 2 + length]), segments + 1
            if turn is None or segments > 1:
                return None
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = (int.from_bytes(data[i : i + 2]) for i in (at + 5, at + 7))
            if not width or not height:
                return None
            turn = 1 if exif == "ignore" else turn
            return (height, width, turn) if turn >= 5 else (width, height, turn)
        at += 2 + length
    return None


def read_size(path: str, exif: ExifName = "rotate") -> tuple[int, int] | None:
    """Return width and height of a file's image as `read_image` shows it; None if it cannot be
    read. Of JPEG and PNG, no pixel is decoded."""
    data = read_bytes(path)
    if data is None:
        return None
    size = jpeg_size(data, exif)
    if size is not None:
        return size[:2]
    if data[:8] == b"\x89PNG\r\n\x1a\n" and data[12:16] == b"IHDR" and b"eXIf" not in data:
        width, height = (int.from_bytes(data[at : at + 4]) for at in (16, 20))
        return width, height
    image = decode(data, cv2.IMREAD_GRAYSCALE, exif)
    return None if image is None else (image.shape[1], image.shape[0])


def reduction(size: tuple[int, int, int] | None, most: float) -> int:
    """Return by how much a JPEG is best reduced in decoding: 1, 2, 4 or 8, at most `most`.

    Args:
        size: from `jpeg_size`.

    Incomplete blocks lie at the right and the bottom of the stored image, so an image that is
    turned is reduced only if all blocks are complete.
    """
    if size is None:
        return 1
    width, height, turn = size
    reduced = 1 << (int(min(8, max(1, most))).bit_length() - 1)
    while turn > 1 and (width % reduced or height % reduced):
        reduced //= 2
    return reduced


def exif_orientation(data: bytes) -> int:
    """Return the orientation, 1 to 8, that a JPEG, PNG, WebP or TIFF file names, or 1."""
    if data[:4] in BYTE_ORDERS:
        return _orientation(data) or 1
    mark = EXIF_MARKS.get(data[:2])
    at = data.find(mark) if mark else -1
    if at < 0:
        return 1
    near = data[at + 4 : at + 16]  # WebP has a length between
    begin = next((at + 4 + i for order in BYTE_ORDERS if (i := near.find(order)) >= 0), None)
    return 1 if begin is None else _orientation(data[begin : begin + 65536]) or 1


def _orientation(tiff: bytes) -> int | None:
    """Return the orientation that EXIF data name, 1 if they name none, None if they are broken."""
    order = BYTE_ORDERS.get(tiff[:4])
    if order is None:
        return None

    def number(at: int, size: int) -> int:
        return int.from_bytes(tiff[at : at + size], order)

    first = number(4, 4)
    if first + 2 > len(tiff):
        return None
    for entry in range(first + 2, min(first + 2 + 12 * number(first, 2), len(tiff) - 11), 12):
        if number(entry, 2) == ORIENTATION:
            turn = number(entry + 8, 2)
            return turn if number(entry + 2, 2) == SHORT and 1 <= turn <= 8 else None
    return 1
