"""From measurements of images, boxes, copies and places to findings: the limits, each once."""

import numpy as np

from landmarks.data.faces import Faces, plain_names
from landmarks.health.duplicates import MAX_BITS, near_pictures, same_files
from landmarks.health.image_facts import CORRUPT, MISSING, Looks
from landmarks.health.label_facts import Places, is_degenerate
from landmarks.health.robust_statistics import robust_z
from landmarks.health.suspects import Finding

SURE_SCORE = 100.0  # score of what leaves no doubt
OFF_IMAGE_SHARE = 0.5  # share of a face's points outside its image
SMALLEST_SIDE, LARGEST_ASPECT, SIZE_Z = 24, 3.0, 6.0


def image_findings(faces: Faces, rows: np.ndarray, looks: Looks, part: str) -> list[Finding]:
    """Return missing and corrupt images, and sizes unlike the others'."""
    found = []
    for state, reason in ((MISSING, "missing"), (CORRUPT, "corrupt")):
        for row in rows[looks.state[rows] == state].tolist():
            found.append(Finding(row, faces.name(row), reason, SURE_SCORE, part))
    known = rows[looks.size[rows].all(1)]
    width, height = looks.size[known].T.astype(float)
    aspect = np.maximum(width, height) / np.minimum(width, height)
    unlike = np.abs(robust_z(np.log(width * height), floor=0.35))
    score = np.maximum(
        np.maximum(SMALLEST_SIDE / np.minimum(width, height), aspect / LARGEST_ASPECT),
        unlike / SIZE_Z,
    )
    for i in np.flatnonzero(score > 1):
        row, says = int(known[i]), f"{int(width[i])} x {int(height[i])} pixels"
        found.append(Finding(row, faces.name(row), "odd-size", float(score[i]), part, says))
    for row in rows[looks.unused[rows] > 0].tolist():
        says = f"{16 - looks.unused[row]} of 16 bits are used, and read as if they were all"
        found.append(Finding(row, faces.name(row), "few-bits", 1.0, part, says))
    return found


def box_findings(faces: Faces, rows: np.ndarray) -> list[Finding]:
    """Return the faces `rows` (n,), whose boxes are missing or have no size."""
    return [Finding(row, faces.name(row), "no-box", SURE_SCORE) for row in rows.tolist()]


def duplicate_findings(
    train: Faces,
    rows: np.ndarray,
    looks: Looks,
    same: np.ndarray,
    test: Faces | None,
    test_looks: Looks | None,
) -> list[Finding]:
    """Return copies: all but the first of one part; of both parts, the training face.

    An image that shows several faces is one file. `same`: of the labels, see `same_labels`.
    """
    mine = rows[_first_of_each(train.names[rows])]
    theirs = np.arange(0) if test is None else _first_of_each(test.names)
    others = len(theirs)
    both = Looks(
        *(
            values[mine] if test is None else np.concatenate([test_values[theirs], values[mine]])
            for values, test_values in zip(looks, test_looks or looks, strict=True)
        )
    )  # test faces first, so that they are the ones found first

    def where(i: int) -> tuple:
        if i < others:
            return test, int(theirs[i]), "test"
        return train, int(mine[i - others]), "train"

    found = []
    files = same_files(both)
    for i in np.flatnonzero(files != np.arange(len(files))):
        (faces, row, part), (twin, twin_row, twin_part) = where(i), where(files[i])
        says = f"the same file as {twin_part} {twin.name(twin_row)}"
        found.append(Finding(row, faces.name(row), "duplicate", SURE_SCORE, part, says))
    for i, j, bits in zip(*near_pictures(both, files), strict=True):
        (faces, row, part), (twin, twin_row, twin_part) = where(i), where(j)
        says = f"{bits} of 256 bits differ from {twin_part} {twin.name(twin_row)}"
        score = 1 + (MAX_BITS - float(bits)) / MAX_BITS
        found.append(Finding(row, faces.name(row), "near-duplicate", score, part, says))
    copies = {f.row for f in found if f.reason == "duplicate" and f.part == "train"}
    for i in np.flatnonzero(same != np.arange(len(rows))):
        row, twin_row = int(rows[i]), int(rows[same[i]])
        if row not in copies and twin_row not in copies:
            says = f"the labels of {train.name(twin_row)}"
            found.append(Finding(row, train.name(row), "same-labels", SURE_SCORE, "train", says))
    return found


def _first_of_each(names: np.ndarray) -> np.ndarray:
    """Return (m,) the first place of each different name, ascending."""
    return np.sort(np.unique(plain_names(names), return_index=True)[1])


def place_findings(faces: Faces, rows: np.ndarray, places: Places) -> list[Finding]:
    """Return faces without labels or extent, and those with points outside their images."""
    found = []
    for i in np.flatnonzero(places.labelled == 0):
        found.append(Finding(int(rows[i]), faces.name(rows[i]), "unlabelled", 1.0))
    for i in np.flatnonzero(is_degenerate(places)):
        across, down = places.extent[i]
        says = f"all points within {across:.1f} x {down:.1f} pixels"
        found.append(
            Finding(int(rows[i]), faces.name(rows[i]), "degenerate", SURE_SCORE, detail=says)
        )
    for i in np.flatnonzero(np.nan_to_num(places.outside) > 0):
        share = float(places.outside[i])
        reason = "off-image" if share > OFF_IMAGE_SHARE else "outside"
        score = share / OFF_IMAGE_SHARE if share > OFF_IMAGE_SHARE else share
        says = f"{100 * share:.1f} % of the points lie outside the image"
        found.append(Finding(int(rows[i]), faces.name(rows[i]), reason, score, detail=says))
    return found
