"""Which labelled points are visible, and which lie behind something: kept beside the points."""

from pathlib import Path

import numpy as np

from landmarks.data.reading.pixels_or_fractions import MissingName, both
from landmarks.errors import UserError

UNLABELLED, OCCLUDED, VISIBLE = 0, 1, 2  # as COCO's v
HIDDEN = 3  # v=0 with a place: occluded, if the file has it so
FILE = "visible.u8"
BLOCK = 4096  # faces at once


def encode(
    written: np.ndarray, seen: np.ndarray | None, points: np.ndarray, missing: MissingName
) -> np.ndarray | None:
    """Return (n, K) uint8 of the next faces, for `settle`; None where nothing tells.

    Args:
        written: (n, K, 2) as the file has them, where `missing` "absolute" reads the sign.
        seen: (n, K), see `landmarks.data.caches.mapped_faces.Arrays`; None: the file does not say.
        points: (n, K, 2), NaN where unlabelled.
    """
    if seen is None and missing != "absolute":
        return None
    labelled = both(~np.isnan(points))
    if seen is not None:
        known = np.where(seen == 0, HIDDEN, np.where(seen >= VISIBLE, VISIBLE, OCCLUDED))
    else:
        known = np.where(both(written < 0), OCCLUDED, VISIBLE)
    return np.where(labelled, known, UNLABELLED).astype(np.uint8)


def settle(aside: Path, shape: list[int], mask: bool) -> bool:
    """Give the codes of a whole file their meaning; return whether any point is occluded.

    Without a 2 in the file, 1 says visible and 0 hidden; with one they are COCO's.

    Args:
        aside: the folder of FILE and points.f32.
        shape: [N, K].
        mask: also make occluded points unlabelled.
    """
    codes = np.memmap(aside / FILE, np.uint8, mode="r+", shape=tuple(shape))
    blocks = [slice(start, start + BLOCK) for start in range(0, len(codes), BLOCK)]
    is_graded = any((codes[some] == VISIBLE).any() for some in blocks)
    meaning = np.array([UNLABELLED, OCCLUDED if is_graded else VISIBLE, VISIBLE, OCCLUDED])
    is_known = False
    for some in blocks:
        codes[some] = meaning[codes[some]]
        is_known |= bool((codes[some] == OCCLUDED).any())
    if mask and is_known:
        points = np.memmap(aside / "points.f32", np.float32, mode="r+", shape=(*shape, 2))
        for some in blocks:
            points[some][codes[some] == OCCLUDED] = np.nan
        points.flush()
    codes.flush()
    return is_known


def refuse_mask(source: str) -> None:
    """Raise UserError for data.occluded=mask where the labels name no occluded point."""
    raise UserError(
        f"data.occluded=mask changes nothing: the labels of {source} do not say which points are "
        f"occluded; leave it out."
    )
