"""Faces read once, block by block, into files that every later start maps."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from landmarks.data.cachefolder import cached
from landmarks.data.faces import CacheName, ExifName, Faces
from landmarks.data.images import check_images
from landmarks.errors import UserError


class Arrays(NamedTuple):
    """n faces: names (n,) bytes; points (n, K, 2) float32, NaN where unlabelled, and boxes (n, 4)
    float32 as in `Faces`, None where a format or file has none."""

    names: np.ndarray
    points: np.ndarray | None
    boxes: np.ndarray | None = None


class Asked(NamedTuple):
    """What is asked of a reader besides its files; see `landmarks.data.thousand.read_faces`."""

    part: Literal["train", "test"]
    limit: int | None
    on_error: Literal["stop", "skip"]
    cache: CacheName
    cache_dir: str | None
    exclude: str | None
    exif: ExifName


def map_faces(
    kind: str, source: dict, read: Callable[[], Iterable[Arrays]], cache_dir: str | None
) -> Arrays:
    """Return the faces of a source, mapped; the first call reads them into the cache.

    Args:
        kind, source, cache_dir: see `landmarks.data.cachefolder.cached`.
        read: yields the faces, block by block, all of one K and all or none with boxes.

    Raises:
        UserError: if there are no faces, or they cannot be read.
    """
    folder, note = cached(
        kind, source, lambda aside: _write(aside, source["path"], read), cache_dir
    )

    mapped = {
        name: np.memmap(folder / name, np.float32, mode="r", shape=tuple(shape))
        for name, shape in note["shapes"].items()
    }
    names = np.load(folder / "names.npy", mmap_mode="r")
    return Arrays(names, mapped.get("points.f32"), mapped.get("boxes.f32"))


def to_faces(
    arrays: Arrays, folder: Path, source: str, asked: Asked, linked: bool = False
) -> Faces:
    """Return the first `limit` of the faces, their images in `folder` checked.

    linked: see `check_images`.

    Raises:
        UserError: if there is no such folder, or, for training, no points; see also `check_images`.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}: {asked.part} images are looked for there.")
    names, points, boxes = (None if values is None else values[: asked.limit] for values in arrays)
    training = asked.part == "train"
    if training and points is None:
        raise UserError(f"{source} holds no points: there is nothing to train on.")
    kept = {"cache": asked.cache, "cache_dir": asked.cache_dir, "exif": asked.exif}
    faces = Faces(folder, names, points, source=source, boxes=boxes, **kept)
    exclude = asked.exclude if training else None  # test faces are all wanted, whatever it names
    return check_images(faces, asked.on_error, asked.cache_dir, training, exclude, linked)


def _write(aside: Path, path: str, read: Callable[[], Iterable[Arrays]]) -> dict:
    names, shapes = [], {}
    with (aside / "points.f32").open("wb") as points, (aside / "boxes.f32").open("wb") as boxes:
        for block in _readable(path, read()):
            names.append(block.names)
            for out, values in ((points, block.points), (boxes, block.boxes)):
                if values is not None:
                    out.write(np.ascontiguousarray(values, np.float32))
                    shapes[Path(out.name).name] = values.shape[1:]
    count = sum(map(len, names))
    if not count:
        raise UserError(f"{path} holds no faces.")
    np.save(aside / "names.npy", np.concatenate(names))
    return {"shapes": {name: [count, *shape] for name, shape in shapes.items()}}


def _readable(path: str, blocks: Iterable[Arrays]) -> Iterator[Arrays]:
    """Yield the blocks; say of an error that it was the source's, not the cache's."""
    try:
        yield from blocks
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        raise UserError(f"{error.filename or path} cannot be read ({reason}).") from error
