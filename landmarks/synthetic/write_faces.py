"""Faces written to a folder in the contest's own layout."""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from landmarks.interrupt import unheard
from landmarks.machine import count_cores
from landmarks.synthetic.contours import NUM_POINTS
from landmarks.synthetic.paint_face import draw_face

TRAIN, TEST = 0, 1
_FOLDERS = {TRAIN: "train", TEST: "test"}
_ASKED_POINTS = 30
# Below this many faces the pool's start would take longer than it saves.
_POOL_FROM = 500


def face_name(seed: int, part: int, index: int) -> str:
    """File name of a face without its extension: 32 hex digits."""
    return hashlib.md5(f"{seed}/{part}/{index}".encode(), usedforsecurity=False).hexdigest()


def write_faces(root: Path, train: int, test: int, seed: int) -> None:
    """Write `train` and `test` faces into the folder root.

    train/images/<name>.jpg, train/landmarks.csv, test/images/<name>.jpg, test/test_points.csv with
    30 point indices a face, and test/landmarks.csv with the test faces' truth. Face i of a seed is
    the same whatever the counts and the number of cores.

    Raises OSError where the folder cannot be written.
    """
    with tqdm(total=train + test, desc="drawing faces", unit="face", disable=None) as bar:
        _write_part(root, TRAIN, train, seed, bar)
        _write_part(root, TEST, test, seed, bar)


def _write_part(root: Path, part: int, count: int, seed: int, bar: tqdm) -> None:
    folder = root / _FOLDERS[part]
    images = folder / "images"
    images.mkdir(parents=True)
    header = [f"Point_{k}_{axis}" for k in range(NUM_POINTS) for axis in "XY"]
    with (
        (folder / "landmarks.csv").open("w", encoding="utf-8", newline="\n") as truth,
        (root / "asked.csv").open("w", encoding="utf-8", newline="\n") as asked,
    ):
        truth.write("\t".join(["file_name", *header]) + "\n")
        asked.write("file_name\tpoint_index_list\n")
        for name, points, indices in _draw_all(images, part, count, seed):
            truth.write("\t".join([name, *map(str, points)]) + "\n")
            asked.write(f"{name}\t{json.dumps(indices)}\n")
            bar.update()
    if part == TEST:
        (root / "asked.csv").rename(folder / "test_points.csv")
    else:
        (root / "asked.csv").unlink()


def _draw_all(
    images: Path, part: int, count: int, seed: int
) -> Iterator[tuple[str, list[int], list[int]]]:
    draw = partial(_draw_one, images, part, seed)
    workers = count_cores()
    if count <= _POOL_FROM or workers == 1:
        yield from map(draw, range(count))
        return
    # Spawned, not forked: the caller may have threads running, which a fork would copy half-way.
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_use_one_thread) as pool:
        with unheard():  # the processes start here
            drawn = pool.map(draw, range(count), chunksize=32)
        yield from drawn


def _use_one_thread() -> None:
    cv2.setNumThreads(0)


def _draw_one(images: Path, part: int, seed: int, index: int) -> tuple[str, list[int], list[int]]:
    """Write one picture; its file name, its rounded points x0, y0, x1, ... and 30 point indices."""
    rng = np.random.default_rng([seed, part, index])
    image, points = draw_face(rng)
    quality = int(rng.choice([rng.integers(45, 80), rng.integers(80, 97)]))
    indices = rng.permutation(NUM_POINTS)[:_ASKED_POINTS].tolist()
    name = f"{face_name(seed, part, index)}.jpg"
    picture = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise OSError(f"{images / name} could not be encoded as JPEG.")
    (images / name).write_bytes(coded.tobytes())
    return name, np.rint(points).astype(int).ravel().tolist(), indices
