"""Training and validation faces: chosen once, kept with the run."""

import os
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd

from landmarks.data.faces import Faces
from landmarks.errors import UserError
from landmarks.settings import Rule

SplitShare = Annotated[float, Rule(lambda v: 0 < v < 1, "a number between 0 and 1")]


def split_faces(
    faces: Faces,
    *,
    by: Literal["blocks", "random", "groups"] = "blocks",
    share: SplitShare = 0.1,
    file: str | None = None,
    column: str = "group",
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of training and of validation faces, (n,) and (m,), both ascending.

    Args:
        by: "blocks" takes the last faces of the file for validation: neighbouring rows show one
            person, so a shuffled split would show it on both sides. "random" shuffles. "groups"
            keeps together what has one value in a column of a file.
        share: of the faces that is validated on.
        file: for "groups": a CSV or TSV with file_name and the column.
        column: for "groups": its name.
        seed: of "random" and "groups".

    Raises:
        UserError: if either side would be empty, or the file of groups does not fit the faces.
    """
    rows = faces.rows if faces.rows is not None else np.arange(len(faces))
    count = max(1, round(len(rows) * share))
    if count >= len(rows):
        raise UserError(
            f"split.share={share} of {len(rows)} faces leaves none to train on; at least 2 faces "
            f"are needed."
        )
    shuffle = np.random.default_rng(seed)
    if by == "blocks":
        return rows[:-count], rows[-count:]
    if by == "random":
        mixed = shuffle.permutation(rows)
        return np.sort(mixed[:-count]), np.sort(mixed[-count:])
    groups = _read_groups(faces, file, column)[rows]
    names, members, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = shuffle.permutation(len(names))
    before = np.cumsum(sizes[order]) - sizes[order]
    chosen = np.zeros(len(names), dtype=bool)
    chosen[order[before < count]] = True
    if chosen.all():
        raise UserError(f"split.by=groups: column '{column}' of {file} holds too few groups.")
    return rows[~chosen[members]], rows[chosen[members]]


def _read_groups(faces: Faces, file: str | None, column: str) -> np.ndarray:
    if file is None or not Path(file).is_file():
        raise UserError(
            f"split.by=groups needs split.file=FILE, a table with file_name and '{column}'; "
            f"found {file}."
        )
    table = pd.read_csv(file, sep=None, engine="python", dtype=str)
    if not {"file_name", column} <= set(table.columns):
        raise UserError(f"{file}: columns file_name and '{column}' are needed (split.column).")
    by_name = table.drop_duplicates("file_name").set_index("file_name")[column]
    groups = by_name.reindex([name.decode() for name in faces.names])
    if groups.isna().any():
        raise UserError(
            f"{file}: {int(groups.isna().sum())} faces have no group, "
            f"'{groups.index[groups.isna()][0]}' first."
        )
    return groups.to_numpy(str)


def save_split(path: Path, faces: Faces, train: np.ndarray, validation: np.ndarray) -> None:
    """Write a split, by row and by name, in one piece."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.npz")
    np.savez_compressed(
        aside, train=train, validation=validation, names=faces.names[np.r_[train, validation]]
    )
    aside.replace(path)


def load_split(path: Path, faces: Faces) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of a saved split.

    Raises:
        UserError: if the faces are no longer those that were split.
    """
    with np.load(path) as saved:
        train, validation, names = saved["train"], saved["validation"], saved["names"]
    rows = np.r_[train, validation]
    if rows.max() >= len(faces) or not np.array_equal(faces.names[rows], names):
        raise UserError(
            f"{faces.source} is not what this run was split on ({path}): name or restore "
            f"that, or start a new run from this one with init=."
        )
    return train, validation
