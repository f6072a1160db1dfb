"""IdLookupTable.csv of Kaggle's Facial Keypoints: which coordinates a submission holds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from landmarks.data.faces import Asked
from landmarks.data.reading.text_file import read_rows
from landmarks.errors import UserError, did_you_mean, say_count

MAX_DIGITS = 18  # of an id, which is kept as int64 or names a file
HEADER = ["RowId", "ImageId", "FeatureName", "Location"]


def read_lookup(path: Path, images: Sequence[str], points: Sequence[str]) -> Asked:
    """Return what a lookup table asks, in its order.

    Args:
        images: ids of the test images, in the faces' order.
        points: names of the points.

    Raises:
        UserError: with file, line and column, for a malformed file, an image that is not among the
            test images, or a point that has another name.
    """
    rows = read_rows(path)
    _, header = next(rows, (1, []))
    if [name.strip() for name in header] != HEADER:
        raise UserError(f"{path}, line 1: {','.join(HEADER)} belongs here; found '{header}'.")
    face_of = {image: row for row, image in enumerate(images)}
    features = [f"{point}_{axis}" for point in points for axis in "xy"]
    place_of = {feature: place for place, feature in enumerate(features)}
    ids, faces, places = [], [], []
    for line, row in rows:
        where = f"{path}, line {line}"
        if len(row) != len(HEADER):
            raise UserError(f"{where}: {say_count(len(row), 'column')}; {len(HEADER)} belong here.")
        number, image, feature, _ = (field.strip() for field in row)
        if not (number.isascii() and number.isdecimal() and len(number) <= MAX_DIGITS):
            raise UserError(f"{where}, column 1 ('RowId'): '{number[:40]}' is no whole number.")
        if image not in face_of:
            raise UserError(
                f"{where}, column 2 ('ImageId'): test.csv has no image '{image[:40]}'; both files "
                f"are of one download."
            )
        if feature not in place_of:
            raise UserError(
                f"{where}, column 3 ('FeatureName'): there is no '{feature[:60]}' among the points "
                f"of training.csv.{did_you_mean(feature, features)}"
            )
        ids.append(int(number))
        faces.append(face_of[image])
        places.append(place_of[feature])
    if not ids:
        raise UserError(f"{path} asks for nothing: there are no rows below its header.")
    _refuse_twice(path, ids)
    return Asked(str(path), *(np.array(values) for values in (ids, faces, places)))


def _refuse_twice(path: Path, ids: list[int]) -> None:
    if len(set(ids)) < len(ids):
        twice = next(number for at, number in enumerate(ids) if number in ids[:at])
        raise UserError(f"{path}: RowId {twice} occurs twice; leave one of them out.")
