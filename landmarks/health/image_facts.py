"""Every image file read: its size, whether it can be decoded, its fingerprints."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np

from landmarks.data.faces import Faces
from landmarks.data.images.decoding import (
    decode,
    exif_orientation,
    jpeg_size,
    read_bytes,
    reduction,
    stamp,
    unused_bits,
)

GOOD, MISSING, CORRUPT = 0, 1, 2
BLOCK = 64  # faces a thread looks at in one go
HASH_SIDE = 16  # a perceptual hash has 16x16 bits
MIN_HASHED_SIDE = 64  # pixels of an image's smaller side that they are taken from, at least
GREY = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}


class Looks(NamedTuple):
    """What n image files look like.

    state (n,) uint8, GOOD, MISSING or CORRUPT; size (n, 2) int32, width and height, 0 where there
    is none; content (n, 2) uint64, a digest of the file's bytes; picture (n, 32) uint8, 256 bits
    that say where the image gets brighter to the right (a "difference hash"): much the same for one
    picture at another size or quality; spread (n,) float32, how much grey levels differ; turn (n,)
    uint8, the EXIF orientation, 1 to 8; unused (n,) uint8, bits of 16 that no value uses.
    """

    state: np.ndarray
    size: np.ndarray
    content: np.ndarray
    picture: np.ndarray
    spread: np.ndarray
    turn: np.ndarray
    unused: np.ndarray

    @classmethod
    def empty(cls, count: int) -> "Looks":
        """Return the looks of `count` files that nobody has seen."""
        return cls(
            np.full(count, MISSING, np.uint8),
            np.zeros((count, 2), np.int32),
            np.zeros((count, 2), np.uint64),
            np.zeros((count, 2 * HASH_SIDE), np.uint8),
            np.zeros(count, np.float32),
            np.ones(count, np.uint8),
            np.zeros(count, np.uint8),
        )


class Reader:
    """Reads the images of faces in threads, block by block.

    Args:
        faces: the data set.
        looks: N of them, filled as the images are read.
        spare: (N,) by how much each image may be reduced; it is decoded at half its size, a quarter
            or an eighth where that is enough. NaN: as far as its fingerprint allows.
    """

    def __init__(self, faces: Faces, looks: Looks, spare: np.ndarray):
        self.faces, self.looks, self.spare = faces, looks, spare

    def read(self, row: int) -> tuple[np.ndarray, int] | None:
        """Look at one face's image; return it, grey, and by how much it is reduced; None: bad."""
        data, looks = read_bytes(self.faces.path(row)), self.looks
        if data is None:
            there = stamp(self.faces.path(row))[0] >= 0
            looks.state[row] = CORRUPT if there else MISSING
            return None
        digest = hashlib.blake2b(data, digest_size=16).digest()
        looks.content[row] = np.frombuffer(digest, np.uint64)
        known = jpeg_size(data, self.faces.exif)
        allowed = 1 if known is None else np.fmin(self.spare[row], min(known[:2]) / MIN_HASHED_SIDE)
        reduced = reduction(known, allowed)
        image = decode(data, GREY[reduced], self.faces.exif)
        looks.state[row] = CORRUPT if image is None else GOOD
        if image is None:
            return None
        looks.size[row] = known[:2] if known else (image.shape[1], image.shape[0])
        small = cv2.resize(image, (HASH_SIDE + 1, HASH_SIDE), interpolation=cv2.INTER_AREA)
        looks.picture[row] = np.packbits(small[:, 1:] > small[:, :-1])
        looks.spread[row] = small.std()
        looks.turn[row], looks.unused[row] = exif_orientation(data), unused_bits(data)
        return image, reduced


def in_threads(function, rows: np.ndarray, threads: int) -> Iterator:
    """Yield function(block) for each block of rows, in order, in bounded memory."""
    blocks = [rows[i : i + BLOCK] for i in range(0, len(rows), BLOCK)]
    with ThreadPoolExecutor(threads) as pool:
        waiting = []
        for block in blocks:
            waiting.append(pool.submit(function, block))
            if len(waiting) > 2 * threads:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()
