"""Training and validation faces: chosen once, kept with the run."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from landmarks.data.faces import Faces
from landmarks.data.split_groups import group_by_table, group_images
from landmarks.errors import UserError, say_count
from landmarks.files import NUMPY_DAMAGE, replacing
from landmarks.settings import Count, Needs, Rule

log = logging.getLogger(__name__)
HEADERS = 4096  # bytes that a saved split has besides its rows and names
GROUPED = Needs("by", "groups")
FOLDED = Needs("folds", Rule(lambda folds: folds is not None, ""), "split.folds=NUMBER")
Folds = Annotated[int, Rule(lambda v: 2 <= v <= 100, "a whole number from 2 to 100")]
SplitShare = Annotated[float, Rule(lambda v: 0 < v < 1, "a number between 0 and 1")]


def split_faces(
    faces: Faces,
    *,
    by: Literal["blocks", "random", "groups"] = "blocks",
    share: SplitShare = 0.1,
    file: Annotated[str | None, GROUPED] = None,
    column: Annotated[str, GROUPED] = "group",
    folds: Folds | None = None,
    fold: Annotated[Count, FOLDED] = 0,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of training and of validation faces, (n,) and (m,), both ascending.

    Faces of one image stay on one side: a model would be judged on what it has learnt.

    Args:
        by: "blocks" takes the last faces of the file for validation: neighbouring rows show one
            person, so a shuffled split would show it on both sides. "random" shuffles. "groups"
            keeps together what has one value in a column of a file.
        share: of the faces that is validated on, as nearly as what stays together allows: "random"
            and "groups" take what fits in the order that they draw, not the best sum of sizes.
        file: for "groups": a CSV, TSV or Parquet file with file_name and the column.
        column: for "groups": its name.
        folds: number of parts, of which `fold` (from 0) is validated on, in place of a share: each
            face is in one of them. None: no k-fold.
        seed: of "random" and "groups".

    Raises:
        UserError: if either side would be empty, or the file of groups does not fit the faces.
    """
    rows = faces.rows if faces.rows is not None else np.arange(len(faces))
    if faces.sets is not None and by == "blocks":
        return _split_each(faces, rows, share=share, folds=folds, fold=fold)
    if len(rows) < 2:
        raise UserError(
            f"{faces.source} has {say_count(len(rows), 'face')} to use; at least 2 are needed."
        )
    count = max(1, round(len(rows) * share))
    names = faces.names[rows]
    if by == "groups":
        units, what = group_by_table(names, faces.source, file, column), f"groups of '{column}'"
    else:
        units, what = group_images(names), "images"
    _, first, sizes = np.unique(units, return_index=True, return_counts=True)
    if len(sizes) < 2:
        raise UserError(
            f"split.by={by}: all {len(rows)} faces of {faces.source} are of one of the {what}, "
            f"which is not parted; at least two are needed."
        )
    by_place = np.argsort(first)
    if folds is not None:
        mixed = by_place if by == "blocks" else np.random.default_rng(seed).permutation(by_place)
        validated = np.isin(units, _part(mixed, sizes, folds, fold))
        return rows[~validated], rows[validated]
    if by == "blocks":
        chosen = _cut(by_place[::-1], sizes, count)
    else:
        mixed = np.random.default_rng(seed).permutation(by_place)
        chosen = _fill(mixed[::-1], sizes, count)
    validated = np.isin(units, chosen)
    found = int(validated.sum())
    if abs(found - count) > count / 2:
        log.warning(
            f"Validation takes {found} of {say_count(len(rows), 'face')}, where "
            f"split.share={share:g} asks for {count}: no {what} of a nearer size can be kept "
            "together."
        )
    return rows[~validated], rows[validated]


def _split_each(faces: Faces, rows: np.ndarray, **wanted) -> tuple[np.ndarray, np.ndarray]:
    """Split each of several data sets by itself: the last faces of each are validated on."""
    of_set = faces.sets[rows]
    parts = [
        split_faces(replace(faces, sets=None, rows=rows[of_set == one]), **wanted)
        for one in np.unique(of_set)
    ]
    validation = np.concatenate([part[1] for part in parts])
    # An image that two sets label stays on one side, too.
    validated = np.isin(faces.names[rows], faces.names[validation])
    return rows[~validated], rows[validated]


def _part(order: np.ndarray, sizes: np.ndarray, folds: int, fold: int) -> np.ndarray:
    """Return the units of one of the folds: whole, in order, each fold as large as the others.

    Raises:
        UserError: if there are fewer units than folds, or no such fold.
    """
    if not fold < folds <= len(order):
        raise UserError(
            f"split.folds={folds} split.fold={fold}: folds count from 0, and there are "
            f"{len(order)} images or groups, which are not parted."
        )
    middles = np.cumsum(sizes[order]) - sizes[order] / 2
    part = np.minimum((middles / sizes.sum() * folds).astype(int), folds - 1)
    chosen = order[part == fold]
    if not len(chosen):
        raise UserError(
            f"split.folds={folds}: fold {fold} has no faces, as groups are large; use fewer folds."
        )
    return chosen


def _cut(order: np.ndarray, sizes: np.ndarray, count: int) -> np.ndarray:
    """Return the first units of an order, but not all, that hold most nearly `count` faces."""
    totals = np.cumsum(sizes[order])[:-1]
    return order[: np.abs(totals - count).argmin() + 1]


def _fill(order: np.ndarray, sizes: np.ndarray, count: int) -> np.ndarray:
    """Return units, but not all, that hold most nearly `count` faces: in order, those that fit.

    A large unit is passed over for smaller ones. The smallest that is left is added if that comes
    nearer, or if nothing fits.
    """
    chosen, left, total = [], [], 0
    for unit, size in zip(order.tolist(), sizes[order].tolist(), strict=True):
        fits = total + size <= count
        (chosen if fits else left).append(unit)
        total += size * fits
    if not left:  # a share near 1: something must be trained on
        chosen.remove(min(chosen, key=lambda unit: sizes[unit]))
    elif not chosen or len(left) > 1:
        smallest = min(left, key=lambda unit: sizes[unit])
        if not chosen or total + sizes[smallest] - count < count - total:
            chosen.append(smallest)
    return np.array(chosen)


def save_split(path: Path, faces: Faces, train: np.ndarray, validation: np.ndarray) -> None:
    """Write a split, by row and by name, in one piece."""
    with replacing(path) as part:
        np.savez_compressed(
            part, train=train, validation=validation, names=faces.names[np.r_[train, validation]]
        )


def load_split(path: Path, faces: Faces) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of a saved split.

    Raises:
        UserError: if the faces are no longer those that were split, or no split is there.
    """
    try:
        with np.load(path) as saved:
            unpacked = sum(member.file_size for member in saved.zip.infolist())
            is_of_these = unpacked < HEADERS + len(faces) * (16 + faces.names.itemsize)
            wanted = ("train", "validation", "names") if is_of_these else ()
            parts = [saved[name] for name in wanted]
    except (AttributeError, *NUMPY_DAMAGE) as error:
        raise UserError(
            f"{path}, the run's split, is missing or damaged: a run resumes in its own folder, as "
            f"it was left."
        ) from error
    if not parts or not _are_of(faces, *parts):
        raise UserError(
            f"{faces.source} has {say_count(len(faces), 'face')} here and is not what this run was "
            f"split on ({path}): name or restore that, with the run's data.limit, or start a new "
            f"run from this one with init=."
        )
    return parts[0], parts[1]


def load_validation_rows(path: Path) -> np.ndarray:
    """Return the rows (m,) of a saved split's validation faces, whatever the faces are now.

    Raises:
        UserError: if the split is missing or damaged.
    """
    return _read(path, "validation")[0]


def load_training_names(path: Path) -> np.ndarray:
    """Return the names (n,) bytes of a saved split's training faces.

    Raises:
        UserError: if the split is missing or damaged.
    """
    names, rows = _read(path, "names", "train")
    return names[: len(rows)]


def _read(path: Path, *wanted: str) -> list[np.ndarray]:
    try:
        with np.load(path) as saved:
            return [saved[name] for name in wanted]
    except (AttributeError, *NUMPY_DAMAGE) as error:
        raise UserError(f"{path}, a run's split, is missing or damaged.") from error


def _are_of(faces: Faces, train: np.ndarray, validation: np.ndarray, names: np.ndarray) -> bool:
    """Say whether the faces still have these rows, and these names there."""
    for part in (train, validation):
        if part.ndim != 1 or part.dtype.kind != "i" or not len(part):
            return False
    rows = np.r_[train, validation]
    inside = rows.min() >= 0 and rows.max() < len(faces)
    return inside and np.array_equal(faces.names[rows], names)
