"""Remembers which images can be decoded, by folder, so that each is decoded once."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from landmarks.data.caches.cache_folder import cache_root, cannot_make
from landmarks.data.caches.cache_use import claim, hold
from landmarks.data.faces import Faces
from landmarks.data.images.decoding import read_image, stamp
from landmarks.files import NUMPY_DAMAGE, replacing
from landmarks.machine import count_cores

VERSION = 2
CHUNK = 64  # images a thread looks at in one go


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
