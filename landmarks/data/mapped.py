"""Faces read once, block by block, into files that every later start maps."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from landmarks.data.cache_folder import cached
from landmarks.data.doubts import Doubts, HiddenName
from landmarks.data.faces import Faces
from landmarks.data.images import check_images
from landmarks.data.reading import FileReading
from landmarks.errors import UserError


class Arrays(NamedTuple):
    """n faces: names (n,) bytes; points (n, K, 2) float32, NaN where unlabelled, and boxes (n, 4)
    float32 as in `Faces`; seen (n, K) float32, 0 where a point is not visible. None where a format
    or file has none. point_names as in `Faces`, the same of all faces."""

    names: np.ndarray
    points: np.ndarray | None
    boxes: np.ndarray | None = None
    seen: np.ndarray | None = None
    point_names: Sequence[str] = ()


def map_faces(
    kind: str,
    source: dict,
    read: Callable[[], Iterable[Arrays]],
    reading: FileReading,
    hidden: HiddenName = None,
    first_pixel: float = 0.0,
) -> Arrays:
    """Return the faces of a source, mapped; the first call reads them into the cache.

    Args:
        kind, source: see `landmarks.data.cache_folder.cached`.
        read: yields the faces, block by block, all of one K and all or none with boxes.
        hidden: see `landmarks.data.doubts.Doubts`.
        first_pixel: where the centre of the first pixel lies in the points as they are read.

    Raises:
        UserError: if there are no faces, they cannot be read, or their points are in doubt.
    """
    source = {**source, "missing": reading.missing, "hidden": hidden}

    def build(aside: Path) -> dict:
        doubts = Doubts(reading.missing, hidden)
        note = _write(aside, source["path"], _cleared(read(), doubts, first_pixel))
        doubts.ask(source["path"])
        return note

    folder, note = cached(kind, source, build, reading.cache_dir)
    mapped = {
        name: np.memmap(folder / name, np.float32, mode="r", shape=tuple(shape))
        for name, shape in note["shapes"].items()
    }
    names = np.load(folder / "names.npy", mmap_mode="r")
    point_names = note.get("point_names", ())
    return Arrays(names, mapped.get("points.f32"), mapped.get("boxes.f32"), None, point_names)


def to_faces(
    arrays: Arrays, folder: Path, source: str, reading: FileReading, linked: bool = False
) -> Faces:
    """Return the first `limit` of the faces, their images in `folder` checked by `check_images`.

    Raises:
        UserError: if there is no such folder, or, for training, no points; see also `check_images`.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}: {reading.part} images are looked for there.")
    names, points, boxes = (
        None if values is None else values[: reading.limit] for values in arrays[:3]
    )
    if reading.part == "train" and points is None:
        raise UserError(f"{source} holds no points: there is nothing to train on.")
    kept = {"cache": reading.cache, "cache_dir": reading.cache_dir, "exif": reading.exif}
    kept |= {"boxes": boxes, "point_names": arrays.point_names}
    faces = Faces(folder, names, points, source=source, **kept)
    return check_images(faces, reading, linked)


def _cleared(blocks: Iterable[Arrays], doubts: Doubts, first_pixel: float) -> Iterator[Arrays]:
    for block in blocks:
        if block.points is not None:
            points = doubts.clear(block.points, block.seen) - np.float32(first_pixel)
            block = block._replace(points=points)
        if block.boxes is not None:
            doubts.measure("boxes", block.boxes)
        yield block


def _write(aside: Path, path: str, blocks: Iterable[Arrays]) -> dict:
    names, shapes, point_names = [], {}, []
    with (aside / "points.f32").open("wb") as points, (aside / "boxes.f32").open("wb") as boxes:
        for block in _readable(path, blocks):
            names.append(block.names)
            point_names = list(block.point_names)
            for out, values in ((points, block.points), (boxes, block.boxes)):
                if values is not None:
                    out.write(np.ascontiguousarray(values, np.float32))
                    shapes[Path(out.name).name] = values.shape[1:]
    count = sum(map(len, names))
    if not count:
        raise UserError(f"{path} holds no faces.")
    np.save(aside / "names.npy", np.concatenate(names))
    counted = {name: [count, *shape] for name, shape in shapes.items()}
    return {"shapes": counted, "point_names": point_names}


def _readable(path: str, blocks: Iterable[Arrays]) -> Iterator[Arrays]:
    """Yield the blocks; say of an error that it was the source's, not the cache's."""
    try:
        yield from blocks
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        raise UserError(f"{error.filename or path} cannot be read ({reason}).") from error
