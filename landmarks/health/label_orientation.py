"""Which of its two frames a photo's labels were made in: as it is shown, or as it is stored.

A phone stores a photo as its sensor lies and notes, in EXIF data, how to turn it. Some labelling
tools obey, some do not.
"""

import numpy as np

from landmarks.data.faces import Faces
from landmarks.errors import say_count
from landmarks.health.image_facts import Looks

STORED_ROLL = {3: 180.0, 6: -90.0, 8: 90.0}  # degrees, of an upright face in the stored photo
MIN_DIFFERENCE = 0.1  # share of a face's points by which more lie outside of one frame
MAX_ANGLE = 45.0  # degrees
MIN_FACES = 3  # faces
PERCENT_SIDE = 200  # pixels of an image's smaller side: percents fill half of it at most
PERCENT_SHARE = 0.95  # of faces
PERCENT_FACES = 2000  # that are looked at


def advise(
    faces: Faces, rows: np.ndarray, looks: Looks, frames: tuple[int, int] = (0, 0)
) -> list[str]:
    """Return what to set, or to know, where images are read in a way that labels or cameras tell.

    Args:
        faces, rows, looks: as for `find_frames`.
        frames: what that has found.
    """
    said = [say_frames(faces.exif, *frames)]
    said.append(say_percents(*count_percents(faces, rows, looks)))
    unused = looks.unused[rows]
    if unused.any():
        used = "-, ".join(map(str, sorted({*(16 - unused[unused > 0]).tolist()})))
        said.append(
            f"16-bit files with {used}-bit values: {say_count((unused > 0).sum(), 'image')}, read "
            "as bright "
            f"as the bits in use; suspects.csv lists them as few-bits."
        )
    return [line for line in said if line]


def count_percents(faces: Faces, rows: np.ndarray, looks: Looks) -> tuple[int, int]:
    """Return how many labelled faces are in images larger than 200 pixels, and how many of these
    have all labels from 0 to 100, as percents of the image have; of at most 2000 faces."""
    large = rows[looks.size[rows].min(1) > PERCENT_SIDE]
    some = large[np.linspace(0, len(large) - 1, min(len(large), PERCENT_FACES)).astype(int)]
    points = np.asarray(faces.points[some]).reshape(len(some), 2 * faces.num_points)
    low, high = (extreme.reduce(points, axis=1) for extreme in (np.fmin, np.fmax))
    labelled = ~np.isnan(low)
    return int(labelled.sum()), int((labelled & (low >= 0) & (high <= 100)).sum())


def say_percents(large: int, alike: int) -> str:
    """Return what to do if nearly all labels in large images may be percents; else ""."""
    if alike < MIN_FACES or alike < PERCENT_SHARE * large:
        return ""
    return (
        f"All labels of {alike} of {say_count(large, 'face')} in images larger than "
        f"{PERCENT_SIDE} pixels lie "
        f"from 0 to 100 in x and y: if they are percents of the image, multiply x by its width / "
        f"100 and y by its height / 100; pixels belong here."
    )


def find_frames(
    faces: Faces,
    rows: np.ndarray,
    looks: Looks,
    scale: np.ndarray | None,
    eyes: list[int] | None = None,
) -> tuple[int, int]:
    """Return how many faces tell the frame of their labels, and how many tell of the other one.

    Args:
        faces: with the frame they are read in, see `Faces.exif`.
        rows: (n,) which of them.
        looks: of all N files.
        scale: (n,) complex, whose angle is a face's roll against the others', NaN where unknown;
            None: not known.
        eyes: the points of the left and the right eye, as seen in the image; None: not known.

    A face tells by points outside of one frame alone, or by its roll: against that of faces in
    photos without a turn or, where there are none, that of its eyes. One in a photo without a turn
    tells nothing.
    """
    turns = looks.turn[rows]
    turned = np.flatnonzero((turns > 1) & looks.size[rows].all(1))
    if not len(turned):
        return 0, 0
    roll = _find_roll(faces, rows, turns == 1, scale, eyes)
    stored = np.array([_is_stored(faces, rows[i], looks, roll[i]) for i in turned], float)
    decided = stored[~np.isnan(stored)]
    return len(decided), int((decided != (faces.exif == "ignore")).sum())


def _find_roll(
    faces: Faces,
    rows: np.ndarray,
    is_upright: np.ndarray,
    scale: np.ndarray | None,
    eyes: list[int] | None,
) -> np.ndarray:
    """Return (n,) degrees, NaN where unknown."""
    if scale is not None:
        upright = scale[is_upright & np.isfinite(scale)]
        if len(upright) >= MIN_FACES:
            return np.degrees(np.angle(scale / np.sum(upright / np.abs(upright))))
    if eyes is None:
        return np.full(len(rows), np.nan)
    across, down = (faces.points[rows, eyes[1]] - faces.points[rows, eyes[0]]).T
    return np.degrees(np.arctan2(down, across))


def say_frames(exif: str, told: int, other: int) -> str:
    """Return what to do if most faces that tell a frame tell of the other one; else ""."""
    if other < MIN_FACES or 2 * other <= told:
        return ""
    where, set_to = ("stored", "ignore") if exif == "rotate" else ("turned by EXIF", "rotate")
    return (
        f"The labels of {other} of {say_count(told, 'face')} in photos with an EXIF orientation "
        "fit the photos "
        f"as they are {where}, and not as they are read: set data.exif={set_to}."
    )


def _is_stored(faces: Faces, row: int, looks: Looks, roll: float) -> float:
    """Return 1 for labels made in the stored frame, 0 for the shown one, NaN where it is open."""
    turn, own = int(looks.turn[row]), looks.size[row]
    if turn >= 5:  # width and height change places
        shown, stored = (own, own[::-1]) if faces.exif == "rotate" else (own[::-1], own)
        more = _outside(faces.points[row], shown) - _outside(faces.points[row], stored)
        if abs(more) > MIN_DIFFERENCE:
            return float(more > 0)
    if turn in STORED_ROLL and np.isfinite(roll):
        if abs(roll) < MAX_ANGLE:
            return 0.0
        if abs((roll - STORED_ROLL[turn] + 180) % 360 - 180) < MAX_ANGLE:
            return 1.0
    return np.nan


def _outside(points: np.ndarray, size: np.ndarray) -> float:
    """Return the share of the labelled points (K, 2) outside of a frame of width and height."""
    known = np.asarray(points)[np.isfinite(points).all(1)]
    if not len(known):
        return 0.0
    return float(((known < -0.5) | (known > size - 0.5)).any(1).mean())
