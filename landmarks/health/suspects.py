"""From measurements to findings: the limits, each in one place."""

import numpy as np

from landmarks.data.faces import Faces
from landmarks.health.duplicates import NEAR, near_pictures, same_files, same_labels
from landmarks.health.findings import Finding
from landmarks.health.images import CORRUPT, MISSING, Looks
from landmarks.health.labels import Places, is_degenerate
from landmarks.health.robust import robust_z
from landmarks.health.shapefit import Fit

SURE = 100.0  # score of what leaves no doubt
OFF_IMAGE = 0.5  # share of a face's points outside its image
SWAPPED = 0.5  # of the distance to the mean shape, that to the mirrored one
ROUGH_Z, ROUGH_RATIO, LEAST_SIGMA = 5.5, 2.0, 0.1  # the sigma is one of logarithms
TURNING = 70.0  # degrees: FIELD of the contest's second edition
OUTLIER_Z = 5.0
SHIFTED, SHIFTED_GAIN = 0.08, 0.1  # face sizes; see `health.shifts`
PERHAPS = 0.12
SMALLEST_SIDE, LARGEST_ASPECT, SIZE_Z = 24, 3.0, 6.0


def image_findings(faces: Faces, rows: np.ndarray, looks: Looks, part: str) -> list[Finding]:
    """Return missing and corrupt images, and sizes unlike the others'."""
    found = []
    for state, reason in ((MISSING, "missing"), (CORRUPT, "corrupt")):
        for row in rows[looks.state[rows] == state].tolist():
            found.append(Finding(row, faces.name(row), reason, SURE, part))
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
    return [Finding(row, faces.name(row), "no-box", SURE) for row in rows.tolist()]


def duplicate_findings(
    train: Faces, rows: np.ndarray, looks: Looks, test: Faces | None, test_looks: Looks | None
) -> list[Finding]:
    """Return copies: all but the first of one part; of both parts, the training face.

    An image that shows several faces is one file.
    """
    _, first = np.unique(train.names[rows], return_index=True)
    mine = rows[np.sort(first)]
    others = 0 if test is None else len(test)
    both = Looks(
        *(
            values[mine] if test is None else np.concatenate([test_values, values[mine]])
            for values, test_values in zip(looks, test_looks or looks, strict=True)
        )
    )  # test faces first, so that they are the ones found first

    def where(i: int) -> tuple:
        return (test, i, "test") if i < others else (train, int(mine[i - others]), "train")

    found = []
    same = same_files(both)
    for i in np.flatnonzero(same != np.arange(len(same))):
        (faces, row, part), (twin, twin_row, twin_part) = where(i), where(same[i])
        says = f"the same file as {twin_part} {twin.name(twin_row)}"
        found.append(Finding(row, faces.name(row), "duplicate", SURE, part, says))
    for i, j, bits in zip(*near_pictures(both, same), strict=True):
        (faces, row, part), (twin, twin_row, twin_part) = where(i), where(j)
        says = f"{bits} of 256 bits differ from {twin_part} {twin.name(twin_row)}"
        score = 1 + (NEAR - float(bits)) / NEAR
        found.append(Finding(row, faces.name(row), "near-duplicate", score, part, says))
    copies = {f.row for f in found if f.reason == "duplicate" and f.part == "train"}
    first = same_labels(train.points, rows)
    for i in np.flatnonzero(first != np.arange(len(rows))):
        row, twin_row = int(rows[i]), int(rows[first[i]])
        if row not in copies and twin_row not in copies:
            says = f"the labels of {train.name(twin_row)}"
            found.append(Finding(row, train.name(row), "same-labels", SURE, "train", says))
    return found


def place_findings(faces: Faces, rows: np.ndarray, places: Places) -> list[Finding]:
    """Return faces without labels or extent, and those with points outside their images."""
    found = []
    for i in np.flatnonzero(places.labelled == 0):
        found.append(Finding(int(rows[i]), faces.name(rows[i]), "unlabelled", 1.0))
    for i in np.flatnonzero(is_degenerate(places)):
        across, down = places.extent[i]
        says = f"all points within {across:.1f} x {down:.1f} pixels"
        found.append(Finding(int(rows[i]), faces.name(rows[i]), "degenerate", SURE, detail=says))
    for i in np.flatnonzero(np.nan_to_num(places.outside) > 0):
        share = float(places.outside[i])
        reason = "off-image" if share > OFF_IMAGE else "outside"
        score = share / OFF_IMAGE if share > OFF_IMAGE else share
        says = f"{100 * share:.1f} % of the points lie outside the image"
        found.append(Finding(int(rows[i]), faces.name(rows[i]), reason, score, detail=says))
    return found


def shape_findings(
    faces: Faces, rows: np.ndarray, fit: Fit, angles: np.ndarray, shifts: tuple | None
) -> list[Finding]:
    """Return swapped, jittered and shifted faces, and rare shapes; a face has one of these reasons.

    Args:
        rows: (n,), which `fit`, the turning angles (n,) and the shifts are of.
        shifts: displacements (n, 3) and gains (n,), see `health.scan.scan`; None: not looked for.
    """
    with np.errstate(divide="ignore"):
        rough = robust_z(np.log(fit.roughness), LEAST_SIGMA)
        ratio = fit.roughness / np.nanmedian(fit.roughness)
        rough = np.where(ratio > ROUGH_RATIO, rough, np.minimum(rough, ROUGH_Z))
        turned = robust_z(np.log(angles), LEAST_SIGMA)
        rare = robust_z(np.log(fit.residual), LEAST_SIGMA)
    jagged = (angles > TURNING) & (turned > ROUGH_Z)
    jittered = np.fmax(rough / ROUGH_Z, np.where(jagged, angles / TURNING, 0))
    scores = {
        "swapped": (SWAPPED / fit.mirrored, "a mirrored face fits {:.1f} times better"),
        "jittered": (jittered, "the points are {:.1f} times as rough as usual"),
    }
    told = {"swapped": 1 / fit.mirrored, "jittered": ratio}
    if shifts is not None:
        lengths, gains = _lengths(shifts)
        limit = max(SHIFTED, 4.5 * np.nanmedian(lengths) / 1.177)  # a Rayleigh's median in sigmas
        says = "{:.0f} % of the face's size beside the face in the image"
        scores["shifted"] = np.where(gains > SHIFTED_GAIN, lengths / limit, 0), says
        perhaps = np.where(gains > 0, lengths / max(PERHAPS, limit), 0)
        scores["perhaps-shifted"] = perhaps, says
        told["shifted"] = told["perhaps-shifted"] = 100 * lengths
    scores["shape-outlier"] = rare / OUTLIER_Z, "{:.1f} robust standard deviations from the model"
    told["shape-outlier"] = rare
    found, taken = [], np.zeros(len(rows), bool)
    for reason, (score, says) in scores.items():
        for i in np.flatnonzero((np.nan_to_num(score) > 1) & ~taken):
            taken[i] = True
            name, detail = faces.name(rows[i]), says.format(told[reason][i])
            found.append(Finding(int(rows[i]), name, reason, float(score[i]), detail=detail))
    return found


def _lengths(shifts: tuple) -> tuple[np.ndarray, np.ndarray]:
    """Return (n,) displacements in face sizes, less what all faces have in common, and gains."""
    offsets, gains = shifts
    if not np.isfinite(offsets).any():
        return np.full(len(gains), np.nan), gains
    moved = offsets[:, :2] - np.nanmedian(offsets[:, :2], axis=0)
    return np.hypot(moved[:, 0], moved[:, 1]), gains
