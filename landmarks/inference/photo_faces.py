"""Faces anywhere in photos: a look at each box, and a second one about the points found there."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from landmarks.data.crops.boxes import (
    have_size,
    point_boxes,
    read_boxes,
    refuse_outside,
    take_faces,
)
from landmarks.data.faces import Faces
from landmarks.data.images.decoding import read_image
from landmarks.distributed.deal_work import deal, merge
from landmarks.errors import UserError
from landmarks.inference.finder_protocol import Finder, Framing, Rows

log = logging.getLogger(__name__)
PHOTOS = 16  # searched for faces between two exchanges of several processes


def look_at_faces(
    finder: Finder, faces: Faces, framing: Framing, looks: int
) -> Iterator[tuple[Rows, np.ndarray, np.ndarray]]:
    """Yield rows of the faces, points (B, K, 2) in original pixels and certainty (B, K).

    Args:
        faces: one a row, with boxes about their points as a detector finds them.
        looks: how often; from the second on, the square is moved to the points found before.
    """
    batch_size, of_a_look = framing.batch_size, replace(framing, detected=True, dealt=False)
    known = np.setdiff1d(np.arange(finder.num_points), finder.unlabelled)
    starts = range(0, len(faces), batch_size)
    for first in deal(starts) if framing.dealt else starts:
        rows = np.arange(first, min(first + batch_size, len(faces)))
        boxes = faces.boxes[rows]
        for _ in range(looks):
            some = take_faces(faces, rows, boxes)
            stream = finder.predict(finder.batches(some, of_a_look))
            found = [(points, sure) for _, points, sure in stream]
            points, sure = (np.concatenate(values) for values in zip(*found, strict=True))
            moved = point_boxes(points[:, known])
            boxes = np.where(have_size(moved)[:, None], moved, boxes)
        yield Rows(rows), points, sure


def boxes_of_file(faces: Faces, path: Path) -> Faces:
    """Return the faces in photos that a file of boxes names, one a box.

    Raises:
        UserError: if there are none, or a box lies outside its photo; see also `read_boxes`.
    """
    listed, rows, boxes = read_boxes(path), [], []
    names = [name.decode() for name in faces.names]
    ends = [Path(name).name for name in names]
    unique = {end for end in ends if ends.count(end) == 1} if len(ends) < 10_000 else set(ends)
    for row, (name, end) in enumerate(zip(names, ends, strict=True)):
        of_photo = listed.pop(name, None) or (listed.pop(end, None) if end in unique else None)
        rows += [row] * len(of_photo or ())
        boxes += of_photo or []
    if not rows:
        raise UserError(
            f"{path} names none of the photos of {faces.source}: its first is "
            f"'{next(iter(listed))}', and theirs '{names[0]}'."
        )
    without = len(faces) - len(set(rows))
    if without or listed:
        log.warning(
            f"{without} photos have no box in {path}, and {len(listed)} of its photos are not here."
        )
    found = take_faces(faces, rows, boxes)
    refuse_outside(found)
    return found


def boxes_of_detector(faces: Faces, find: Any) -> Faces:
    """Return the faces that a detector finds in photos, which the ranks share.

    Args:
        find: image (H, W, 3) BGR -> boxes (n, 4).

    Raises:
        UserError: if it finds none.
    """
    parts = range(0, len(faces), PHOTOS)
    own = (_search(faces, range(len(faces))[first : first + PHOTOS], find) for first in deal(parts))
    each = [found for part in merge(own, len(parts), everywhere=True) for found in part]
    rows = [row for row, found in enumerate(each) for _ in found]
    boxes = [box for found in each for box in found]
    if not rows:
        raise UserError(f"The detector found no face in {len(faces)} photos of {faces.source}.")
    without = len(faces) - len(set(rows))
    log.info(f"{len(rows)} faces in {len(faces)} photos; none in {without} of them.")
    return take_faces(faces, rows, boxes)


def _search(faces: Faces, rows: range, find: Any) -> list[list]:
    """Return the boxes found in each of some photos; none in what cannot be read."""
    images = (read_image(faces.path(row), exif=faces.exif) for row in rows)
    return [[] if image is None else find(image).tolist() for image in images]
