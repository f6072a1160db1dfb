"""Which points have labels that a model can learn, and which labels lie outside of their image."""

import logging

import numpy as np

from landmarks.data.faces import Faces
from landmarks.data.images.decoding import read_image
from landmarks.errors import UserError, say_count, say_some

log = logging.getLogger(__name__)
BLOCK = 1024  # faces looked at at once
MAX_NAMED = 5  # points in a sentence
MIN_USUAL = 20  # faces with a label of the usual point, before another's are few
FEW, FEW_SHARE = 2, 0.02  # labels of a point that may be a misspelt name, of those that are usual
MEASURED_AT_ONCE = 1024  # faces looked at at once
MAX_PLACE = 1e6  # pixels: OpenCV reads no larger image
SAMPLE = 64  # faces whose images are looked at
MAX_OUTSIDE = 0.05  # share of the labels outside their images; real sets have less than 0.01
EXCHANGED = 0.25  # of that, what exchanged x and y leave


def find_labelled(points: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return (K,) bool: is the point of points (N, K, 2) labelled in one of the rows?

    Reading ends once every point has been seen labelled, as a rule after the first faces.
    """
    labelled = np.zeros(points.shape[1], bool)
    for start in range(0, len(rows), BLOCK):
        labelled |= np.isfinite(points[rows[start : start + BLOCK]]).all(2).any(0)
        if labelled.all():
            break
    return labelled


def require_labels(faces: Faces, training: np.ndarray, validation: np.ndarray) -> np.ndarray:
    """Return (K,) bool, which points the training faces have labelled.

    Args:
        faces: with points.
        training, validation: rows.

    Raises:
        UserError: if either part has not one label.
    """
    labelled = find_labelled(faces.points, training)
    if not labelled.any():
        raise UserError(
            f"{faces.source}: there is no label in {say_count(len(training), 'training face')}, "
            "and so "
            f"nothing to learn."
        )
    if not find_labelled(faces.points, validation).any():
        raise UserError(
            f"{faces.source}: there is no label in {say_count(len(validation), 'validation face')} "
            f"('{faces.name(validation[0])}' first), so that no model can be judged. Split "
            f"otherwise, with split.by=random or a larger split.share, or leave faces without "
            f"labels out with data.exclude=FILE."
        )
    return labelled


def warn_of_unlabelled(labelled: np.ndarray, where: str) -> None:
    """Warn of the points (K,) without a label in `where`, "the training faces of train.csv"."""
    missing = np.flatnonzero(~labelled)
    if len(missing):
        log.warning(
            f"Never labelled in {where}: {say_points(missing)}. A model cannot learn where that "
            f"is, and predict leaves the coordinates empty."
        )


def warn_of_misspelt(faces: Faces, rows: np.ndarray) -> None:
    """Warn of named points with labels in very few of the rows: a misspelt name is one of these."""
    if not faces.point_names:
        return
    counts = np.zeros(len(faces.point_names), np.int64)
    for start in range(0, len(rows), BLOCK):
        counts += np.isfinite(faces.points[rows[start : start + BLOCK]]).all(2).sum(0)
    usual = np.median(counts)
    are_few = (counts > 0) & (counts <= max(FEW, FEW_SHARE * usual))
    if usual >= MIN_USUAL and are_few.any():
        listed = say_some(
            (f"'{faces.point_names[k]}' in {counts[k]}" for k in np.flatnonzero(are_few)), MAX_NAMED
        )
        log.warning(
            f"Labelled in very few of {say_count(len(rows), 'face')} of {faces.source}: {listed}. "
            f"Each counts as a point of its own: correct the name if it is misspelt."
        )


def warn_of_copies(faces: Faces, rows: np.ndarray) -> None:
    """Warn of faces of the rows (n,) that two of several data sets have: images of one name, with
    the same labels."""
    if faces.sets is None:
        return
    sets = faces.sets[rows].astype(int)
    files = [name.rpartition(b"/")[2] for name in faces.names[rows].tolist()]
    _, image = np.unique(files, return_inverse=True)
    count = image.max(initial=0) + 1
    least, most = np.full(count, 256), np.zeros(count)  # a set is a uint8
    np.minimum.at(least, image, sets)
    np.maximum.at(most, image, sets)
    some = np.flatnonzero((least < most)[image])  # labels are read of these alone
    keys = np.zeros(len(some), np.int64)
    for i, place in enumerate(some.tolist()):
        labels = np.asarray(faces.points[rows[place]])
        # Faces without labels are not told apart by these.
        keys[i] = hash((files[place], labels.tobytes() if np.isfinite(labels).any() else place))
    shared = rows[some]
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    firsts = shared[first[inverse]]
    copies = np.flatnonzero(faces.sets[shared] != faces.sets[firsts])
    if not len(copies):
        return
    copy, original = int(shared[copies[0]]), int(firsts[copies[0]])
    log.warning(
        f"{len(copies)} of {say_count(len(rows), 'face')} stand in several of data.sets: "
        f"'{faces.name(copy)}' of data.sets[{faces.sets[copy]}] is "
        f"'{faces.name(original)}' of data.sets[{faces.sets[original]}], to begin with. An epoch "
        f"shows each copy, and validation may show what is trained on, so that val_mse is too low: "
        f"leave one of these sets out, or name copies with paths of their own in data.exclude=FILE."
    )


def say_points(points: np.ndarray) -> str:
    """Return points (n,) in words, the first of them by number."""
    listed = say_some(points, MAX_NAMED)
    return f"{say_count(len(points), 'point')} ({listed})"


def refuse_impossible(faces: Faces, rows: np.ndarray) -> None:
    """Raise UserError for the first label of the faces `rows` (n,) that no image can hold."""
    for start in range(0, len(rows), MEASURED_AT_ONCE):
        part = rows[start : start + MEASURED_AT_ONCE]
        points = np.asarray(faces.points[part])
        if max(np.nanmax(points, initial=0), -np.nanmin(points, initial=0)) < MAX_PLACE:
            continue
        face, point = np.argwhere((np.abs(points) >= MAX_PLACE).any(2))[0]
        x, y = points[face, point].tolist()
        raise UserError(
            f"{faces.source}: point {point} of '{faces.name(part[face])}' is at ({x:g}, {y:g}), "
            f"and no image is that large: correct it, or leave the face out with "
            f"data.exclude=FILE (landmarks check writes one)."
        )


def warn_of_outside(faces: Faces, rows: np.ndarray) -> None:
    """Warn if many labels lie outside their images, by some of the faces `rows` (n,)."""
    some = rows[np.linspace(0, len(rows) - 1, min(len(rows), SAMPLE)).astype(int)]
    labelled = outside = turned = 0
    for row in some.tolist():
        image = read_image(faces.path(row), exif=faces.exif)
        if image is None:
            continue
        points = np.asarray(faces.points[row])
        points = points[np.isfinite(points).all(1)]
        labelled += len(points)
        outside += _count_outside(points, image)
        turned += _count_outside(points[:, ::-1], image)
    if outside <= MAX_OUTSIDE * labelled:
        return
    why = "x and y seem to be exchanged" if turned < EXCHANGED * outside else "labels may be wrong"
    log.warning(
        f"{100 * outside / labelled:.0f} % of the labels of {faces.source}, of "
        f"{say_count(len(some), 'face')} looked at, lie outside their images: {why}; "
        "landmarks check lists such faces."
    )


def _count_outside(points: np.ndarray, image: np.ndarray) -> int:
    limit = np.array(image.shape[1::-1]) - 0.5
    return int(((points < -0.5) | (points > limit)).any(1).sum())
