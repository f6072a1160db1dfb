"""Checks that the images of a data set can be read, and remembers by folder which can."""

import hashlib
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from landmarks.data.caches.cache_folder import cache_root, cannot_make
from landmarks.data.caches.cache_use import claim, hold
from landmarks.data.exclude import find_excluded
from landmarks.data.faces import Faces
from landmarks.data.images.decoding import read_image, stamp
from landmarks.data.reading.reader_arguments import Reading
from landmarks.data.reading.suggest_names import say_near_files
from landmarks.errors import UserError, say_count, say_some
from landmarks.files import NUMPY_DAMAGE, replacing
from landmarks.machine import count_cores

VERSION = 2
CHUNK = 64  # images a thread looks at in one go
log = logging.getLogger(__name__)


def find_good(faces: Faces, rows: np.ndarray, cache_dir: str | None) -> np.ndarray:
    """Return (n,) bool: can the images of `rows` (n,) be decoded?

    A good image is remembered by its folder, name and stamp, and decoded again once it has changed.
    A bad one is decoded every time.

    Raises:
        UserError: if the cache cannot be written.
    """
    names, first, of_row = np.unique(faces.names[rows], return_index=True, return_inverse=True)
    stamps = np.array([stamp(faces.path(row)) for row in rows[first]], np.int64).reshape(-1, 3)
    path = os.path.realpath(faces.folder)
    root = cache_root("images", cache_dir)
    folder = root / hashlib.sha256(os.fsencode(path)).hexdigest()[:24]
    hold(folder)
    good = _are_known(_load(folder), names, stamps)
    again = np.flatnonzero(~good)
    good[again] = _decode_all(faces, rows[first[again]])
    new = again[good[again]]
    if len(new):
        try:
            claim(folder, {"path": path, "version": VERSION})
            # Results that another process has saved since are kept.
            _save(folder, _load(folder), names[new], stamps[new])
        except OSError as error:
            raise cannot_make(root, error) from error
    return good[of_row]


def _load(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return sorted names (M,) and stamps (M, 3) of images found good; none if it is damaged."""
    try:
        with np.load(folder / "good.npz") as kept:
            names, stamps = kept["names"], kept["stamps"]
        if stamps.shape == (len(names), 3):
            return names, stamps
    except NUMPY_DAMAGE:
        pass
    return np.array([], "S1"), np.zeros((0, 3), np.int64)


def _are_known(kept: tuple, names: np.ndarray, stamps: np.ndarray) -> np.ndarray:
    known, known_stamps = kept
    if not len(known):
        return np.zeros(len(names), bool)
    at = np.searchsorted(known, names).clip(max=len(known) - 1)
    return (known[at] == names) & (known_stamps[at] == stamps).all(1)


def _save(folder: Path, kept: tuple, names: np.ndarray, stamps: np.ndarray) -> None:
    known, known_stamps = kept
    still = ~np.isin(known, names)
    names, stamps = np.r_[known[still], names], np.r_[known_stamps[still], stamps]
    order = np.argsort(names)
    with replacing(folder / "good.npz", sync=True) as part:
        np.savez(part, names=names[order], stamps=stamps[order])


def _decode_all(faces: Faces, rows: np.ndarray) -> np.ndarray:
    def decode(chunk: np.ndarray) -> list[bool]:
        flags = cv2.IMREAD_REDUCED_GRAYSCALE_8
        return [read_image(faces.path(row), flags) is not None for row in chunk]

    chunks = np.array_split(rows, max(1, len(rows) // CHUNK))
    bar = tqdm(total=len(rows), desc="checking images", unit="image", disable=None)
    good: list[bool] = []
    with ThreadPoolExecutor(count_cores()) as pool, bar:
        for checked in pool.map(decode, chunks):
            good += checked
            bar.update(len(checked))
    return np.array(good, dtype=bool)


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
