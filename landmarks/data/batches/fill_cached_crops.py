"""The arrays of a canvas cache, and filling them on all cores."""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from landmarks.data.batches.cropped_faces import CroppedFaces
from landmarks.data.caches.pickled_maps import remap, unmap
from landmarks.errors import say_count
from landmarks.files import reserve
from landmarks.machine import count_cores

log = logging.getLogger(__name__)
CHUNK = 64  # faces a task
SYNC = 4096  # faces between two syncs of the disk


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
