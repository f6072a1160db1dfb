"""Checks that the images of a data set exist and can be read."""

import logging
import os
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from landmarks.data.exclude import find_excluded
from landmarks.data.faces import Faces
from landmarks.data.images.good_images import find_good
from landmarks.data.reading.near_names import say_near_files
from landmarks.data.reading.reader_arguments import Reading
from landmarks.errors import UserError, say_count, say_some

log = logging.getLogger(__name__)


def check_images(faces: Faces, reading: Reading, linked: bool = False, named_by: str = "") -> Faces:
    """Return the faces with `rows` set to those that are not excluded and whose images can be read.

    Args:
        reading: training faces may be excluded, and their images are decoded, once; of test faces
            it is only checked that the files exist.
        linked: links may lead out of the images folder, as its files were found, not named.
        named_by: the setting that names this folder; "": there is none.

    Raises:
        UserError: with the list, for unreadable images; for a link that leaves the images folder.
    """
    present = _find_files(faces, linked)
    good = present.copy()
    kept = np.ones(len(faces), bool)
    if reading.part == "train":
        good[present] = find_good(faces, np.flatnonzero(present), reading.cache_dir)
        kept = ~find_excluded(faces, reading.exclude)
    bad = np.flatnonzero(~good & kept)
    if not len(bad):
        return replace(faces, rows=np.flatnonzero(kept))
    missing = int((~present & kept).sum())
    listed = say_some((faces.name(row) for row in bad), 20)
    what = f"{len(bad)} of {say_count(len(faces), 'image')} ({missing} missing, "
    what += f"{len(bad) - missing} unreadable)"
    lost = [name.decode() for name in faces.names[~present & kept].tolist()]
    near = say_near_files(lost, faces.folder) if lost else ""
    if not present.any():
        remedy = f"name the images' folder with {named_by}=FOLDER" if named_by else "restore them"
        raise UserError(
            f"None of {say_count(len(faces), 'image')} of {faces.source} lies in {faces.folder} "
            f"('{faces.name(0)}' first).{near} If they lie elsewhere, {remedy}."
        )
    remedy = "Correct the names or restore the images" if near else "Restore them"
    if reading.on_error == "stop":
        raise UserError(
            f"{what} in {faces.folder}: {listed}.{near} {remedy}, or leave them out with "
            f"data.on_error=skip."
        )
    rows = np.flatnonzero(good & kept)
    if not len(rows):
        raise UserError(f"No image of {faces.source} can be read in {faces.folder}.{near}")
    log.warning(f"Left out {what} in {faces.folder}: {listed}.{near}")
    return replace(faces, rows=rows)


def _find_files(faces: Faces, linked: bool) -> np.ndarray:
    """Return (N,) bool: is the file there? Refuse links that lead out of the images folder."""
    found = np.zeros(len(faces), bool)
    inside = "" if linked else os.path.join(os.path.realpath(faces.folder), "")  # noqa: PTH118
    for below, rows, names in _by_folder(faces.names):
        folder = os.path.join(faces.folder, below)  # noqa: PTH118
        if not os.path.isdir(folder):  # noqa: PTH112
            continue
        _refuse_outside(folder, inside)
        present, links = _scan(folder)
        found[rows] = np.isin(names, present)
        for row in rows[np.isin(names, links)]:
            found[row] = os.path.exists(faces.path(row))  # noqa: PTH110
            _refuse_outside(faces.path(row), inside)
    return found


def _by_folder(names: np.ndarray) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield each folder (from the images folder) with its rows (n,) and their bare names (n,)."""
    if not (np.char.find(names, b"/") >= 0).any():
        yield "", np.arange(len(names)), names
        return
    folders, _, bare = np.moveaxis(np.char.rpartition(names, b"/"), -1, 0)
    each, of_row = np.unique(folders, return_inverse=True)
    ends = np.cumsum(np.bincount(of_row))
    for folder, rows in zip(each, np.split(np.argsort(of_row, kind="stable"), ends), strict=False):
        yield os.fsdecode(bytes(folder)), rows, bare[rows]


def _scan(folder: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the names of all that lies in a folder, and those of its links, (n,) bytes."""
    try:
        with os.scandir(os.fsencode(folder)) as entries:
            found = [(entry.name, entry.is_symlink()) for entry in entries]
    except OSError as error:
        raise UserError(f"The folder {folder} cannot be read ({error.strerror}).") from error
    links = [name for name, is_link in found if is_link]
    return np.array([name for name, _ in found], bytes), np.array(links, bytes)


def _refuse_outside(path: str, inside: str) -> None:
    if not os.path.join(os.path.realpath(path), "").startswith(inside):  # noqa: PTH118
        raise UserError(
            f"{path} is a link that leaves the images folder; put the file itself there."
        )
