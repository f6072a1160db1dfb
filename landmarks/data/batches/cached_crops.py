"""The canvas cache: faces cropped and scaled once, kept as pixels, gathered batch by batch.

A canvas is a face's crop with a margin around it that augmentation may move into sight. Pixels,
matrices and stamps lie in files by row of the data set, so that runs with one crop share them. A
stamp, size and times of the image it was made from, is set after the pixels have reached the disk:
building can be cut off anywhere and goes on from there, two builders write the same bytes, and an
image that changes is read again.
"""

import hashlib
import json
import logging
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset
from tqdm import tqdm

from landmarks.data.batches.cropped_faces import Batch, CroppedFaces, make_batch
from landmarks.data.caches.cache_folder import cache_root
from landmarks.data.caches.cache_use import claim
from landmarks.data.caches.pickled_maps import remap, unmap
from landmarks.data.faces import Faces
from landmarks.data.images.decoding import stamp
from landmarks.errors import UserError, say_count
from landmarks.files import reserve
from landmarks.geometry import BoxCrop, Crop
from landmarks.machine import count_cores, free_memory, say_bytes

log = logging.getLogger(__name__)
CHUNK = 64  # faces a task
SYNC = 4096  # faces between two syncs of the disk
VERSION = 4
SPARE_BYTES = 1 << 30  # bytes that stay free
CPU = torch.device("cpu")
OPTIONAL = ("auto", "device")  # where a canvas on the disk is used, and not insisted on


@dataclass(frozen=True, eq=False)
class Canvas:
    """N canvases of side C: pixels (N, C, C, 3) uint8 RGB, matrices (N, 2, 3) float64, original
    image to canvas, stamps (N, 3) int64, and readable (N,) bool: the rows that were filled."""

    pixels: np.ndarray
    matrices: np.ndarray
    stamps: np.ndarray
    readable: np.ndarray

    def __getstate__(self) -> dict:
        return {key: unmap(value) for key, value in vars(self).items()}

    def __setstate__(self, state: dict) -> None:
        vars(self).update({key: remap(value) for key, value in state.items()})


def fill(canvas: Canvas, source: CroppedFaces, rows: np.ndarray, stamps: np.ndarray) -> None:
    """Read faces on all cores; unreadable ones get no stamp and are tried again at every start."""

    def read(chunk: np.ndarray) -> np.ndarray:
        out = np.empty(canvas.pixels.shape[1:], np.uint8)
        source.faces.bring(rows[chunk])
        for row in rows[chunk]:
            out[:] = 0
            matrix = source.read(row, out)
            if matrix is not None:
                if isinstance(canvas.pixels, np.memmap):
                    reserve(Path(canvas.pixels.filename), int(row) * out.nbytes, out.nbytes)
                # In one piece: another process may be reading the same bytes.
                canvas.pixels[row], canvas.matrices[row], canvas.readable[row] = out, matrix, True
        return chunk

    def sync(some: np.ndarray) -> None:
        try:
            for array in (canvas.pixels, canvas.matrices):
                if isinstance(array, np.memmap):
                    with Path(array.filename).open("rb+") as file:
                        os.fsync(file.fileno())
        except OSError as error:
            count = say_count(len(some), "face")
            log.warning(f"The canvas cache does not keep {count}: {error}.")
            return
        some = some[canvas.readable[rows[some]]]
        canvas.stamps[rows[some]] = stamps[some]

    cv2.setNumThreads(0)
    chunks = np.array_split(np.arange(len(rows)), -(-len(rows) // CHUNK)) if len(rows) else []
    bar = tqdm(total=len(rows), desc="filling the cache", unit="face", disable=None)
    syncer = ThreadPoolExecutor(1)  # only the end of the process waits for it
    pool = ThreadPoolExecutor(count_cores())
    done: list[np.ndarray] = []
    try:
        for chunk in pool.map(read, chunks):
            done.append(chunk)
            bar.update(len(chunk))
            if sum(map(len, done)) >= SYNC:
                syncer.submit(sync, np.concatenate(done))
                done = []
    finally:
        bar.close()
        pool.shutdown(cancel_futures=True)  # Ctrl-C does not wait for the rest of the faces
        if done:
            syncer.submit(sync, np.concatenate(done))
        syncer.shutdown(wait=False)


class CanvasFaces(Dataset):
    """Gathers batches from a canvas.

    Args:
        faces, size, margin: see `landmarks.data.batches.cropped_faces.CroppedFaces`, whose batches
            are the same.
        canvas: of these faces, with at least this margin.
    """

    def __init__(self, faces: Faces, canvas: Canvas, size: int, margin: int = 0):
        self.faces, self.canvas, self.size, self.margin = faces, canvas, size, margin

    def __len__(self) -> int:
        return len(self.faces)

    def __getitems__(self, rows: list[int]) -> Batch:
        """Return the batch of these rows."""
        side = self.size + 2 * self.margin
        trim = (self.canvas.pixels.shape[1] - side) // 2
        window = slice(trim, trim + side)
        pixels = np.asarray(self.canvas.pixels)[:, window, window][rows]
        matrices = self.canvas.matrices[rows]
        matrices[:, :, 2] -= trim
        readable = self.canvas.readable[rows]
        if not readable.all():
            pixels[~readable] = 0
        return make_batch(self.faces, rows, pixels, matrices, readable, self.margin)


def choose_margin(crop: Crop | BoxCrop, size: int) -> int:
    """Return the pixels to keep around the input: none where the crop shows the whole image."""
    return 0 if crop in ("letterbox", "stretch") else size // 8


def open_canvas(faces: Faces, crop: Crop | BoxCrop, size: int) -> Canvas | None:
    """Return the canvas of the usable faces, filled; None where `faces.cache` is "off".

    Args:
        faces, crop, size: see `landmarks.data.batches.cropped_faces.CroppedFaces`. `faces.cache`
            says where: "disk" in the cache folder, "ram" in this process's memory; "auto" and
            "device" are "disk" where it fits and "off" elsewhere.

    Raises:
        UserError: if it was asked for and does not fit, or cannot be written.
    """
    cache = faces.cache
    if cache == "off":
        return None
    rows = faces.usable
    margin = choose_margin(crop, size)
    side = size + 2 * margin
    made_from = _describe(faces, crop, size, margin)
    place = "memory" if cache == "ram" else _folder(made_from, faces.cache_dir)
    try:
        if cache != "ram":
            claim(place, made_from)
        canvas = _open(len(faces), side, None if cache == "ram" else place)
        stamps = np.array([stamp(faces.path(row)) for row in rows]).reshape(-1, 3)
        stale = (canvas.stamps[rows] != stamps).any(1)
        canvas.readable[rows[~stale]] = True
        needed = int(stale.sum()) * side * side * 3
        free = free_memory(CPU) if cache == "ram" else shutil.disk_usage(place).free
        if free is not None and needed + SPARE_BYTES > free:
            if cache in OPTIONAL:
                log.warning(
                    f"No canvas cache on the disk: {say_bytes(needed)} would be needed in {place} "
                    f"and {say_bytes(free)} is free. Images are decoded anew at every epoch."
                )
                return None
            elsewhere = "set data.cache=disk" if cache == "ram" else "set data.cache_dir=FOLDER"
            raise UserError(
                f"data.cache={cache} needs {say_bytes(needed)} in {place}, and "
                f"{say_bytes(SPARE_BYTES)} to spare, and {say_bytes(free)} is free: {elsewhere}, "
                f"a smaller input_size, or data.cache=off."
            )
        if len(rows):
            log.info(
                f"Canvas cache: {say_bytes(len(rows) * side * side * 3)} in {place}, "
                f"{stale.sum()} of {say_count(len(rows), 'face')} to be read."
            )
        fill(canvas, CroppedFaces(faces, crop, size, margin), rows[stale], stamps[stale])
    except OSError as error:
        if cache in OPTIONAL:
            log.warning(f"No canvas cache on the disk: {place} cannot be written ({error}).")
            return None
        raise UserError(
            f"The canvas cache {place} cannot be written ({error}): set data.cache_dir=FOLDER or "
            f"data.cache=off."
        ) from error
    return canvas


def _describe(faces: Faces, crop: Crop | BoxCrop, size: int, margin: int) -> dict:
    """Return what a canvas depends on besides its images, as plain JSON data."""
    content = hashlib.sha256(np.ascontiguousarray(faces.names).tobytes())
    if isinstance(crop, BoxCrop):
        content.update(np.ascontiguousarray(faces.boxes).tobytes())
    return {
        "path": faces.packed.root if faces.packed is not None else str(faces.folder.resolve()),
        "faces": content.hexdigest(),
        "crop": crop if isinstance(crop, str) else ["box", crop.margin],
        "size": size,
        "margin": margin,
        "exif": faces.exif,
        "version": VERSION,
    }


def _folder(made_from: dict, cache_dir: str | None) -> Path:
    name = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:24]
    return cache_root("canvas", cache_dir) / name


def _open(count: int, side: int, folder: Path | None) -> Canvas:
    arrays = {
        "pixels": ((count, side, side, 3), np.uint8),
        "matrices": ((count, 2, 3), np.float64),
        "stamps": ((count, 3), np.int64),
    }
    readable = np.zeros(count, bool)
    if folder is None:
        return Canvas(*(np.zeros(*array) for array in arrays.values()), readable)
    mapped = []
    for name, (shape, dtype) in arrays.items():
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        with (folder / name).open("ab") as file:
            file.truncate(size)  # a file with holes: what is not filled takes no room
        if name != "pixels":  # whose room is reserved face by face
            reserve(folder / name)
        mapped.append(np.memmap(folder / name, dtype, mode="r+", shape=shape))
    return Canvas(*mapped, readable)
