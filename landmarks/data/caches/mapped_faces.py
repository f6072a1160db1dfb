"""Faces read once, block by block, into files that every later start maps."""

import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np

from landmarks.data import visibility
from landmarks.data.caches.cache_folder import cached
from landmarks.data.faces import Faces
from landmarks.data.images.check_images import check_images
from landmarks.data.reading.pixels_or_fractions import Doubts, HiddenName
from landmarks.data.reading.reader_arguments import FileReading
from landmarks.errors import UserError

FORM = 1  # of the files, which caches hold
TYPES = {".f32": np.float32, ".u8": np.uint8}


class Arrays(NamedTuple):
    """n faces: names (n,) bytes; points (n, K, 2) float32, NaN where unlabelled, and boxes (n, 4)
    float32 as in `Faces`; seen (n, K), as COCO's v: 0 where a point is not labelled, 1 where it is
    occluded and 2 where it is visible, or, in a file without a 2, 0 where it is hidden and 1 where
    it is visible; what `map_faces` returns holds it as `Faces.visible`. None where a format or file
    has none. point_names as in `Faces`, the same of all faces."""

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
        kind, source: see `landmarks.data.caches.cache_folder.cached`.
        read: yields the faces, block by block, all of one K and all or none with boxes.
        hidden: see `landmarks.data.reading.pixels_or_fractions.Doubts`.
        first_pixel: where the centre of the first pixel lies in the points as they are read.

    Raises:
        UserError: if there are no faces, they cannot be read, or their points are in doubt.
    """
    answers = {"missing": reading.missing, "hidden": hidden, "occluded": reading.occluded}
    source = {**source, **answers, "form": FORM}

    def build(aside: Path) -> dict:
        doubts = Doubts(reading.missing, hidden)
        note = _write(aside, source["path"], _cleared(read(), doubts, first_pixel))
        doubts.ask(source["path"])
        shape = note["shapes"].get(visibility.FILE)
        if shape and not visibility.settle(aside, shape, reading.occluded == "mask"):
            del note["shapes"][visibility.FILE]
        return note

    folder, note = cached(kind, source, build, reading.cache_dir)
    mapped = {
        name: np.memmap(folder / name, TYPES[Path(name).suffix], mode="r", shape=tuple(shape))
        for name, shape in note["shapes"].items()
    }
    names = np.load(folder / "names.npy", mmap_mode="r")
    point_names = note.get("point_names", ())
    arrays = (mapped.get(name) for name in ("points.f32", "boxes.f32", visibility.FILE))
    return Arrays(names, *arrays, point_names)


def to_faces(
    arrays: Arrays,
    folder: Path,
    source: str,
    reading: FileReading,
    linked: bool = False,
    named_by: str = "",
) -> Faces:
    """Return the first `limit` of the faces, their images in `folder` checked by `check_images`.

    Args:
        linked, named_by: see there.

    Raises:
        UserError: if there is no such folder, or, for training, no points; see also `check_images`.
    """
    if not folder.is_dir():
        remedy = f"name theirs with {named_by}=FOLDER" if named_by else "put them there"
        raise UserError(
            f"There is no folder {folder}: {reading.part} images are looked for there; {remedy}."
        )
    names, points, boxes, visible = (
        None if values is None else values[: reading.limit] for values in arrays[:4]
    )
    if reading.part == "train" and reading.occluded == "mask" and visible is None:
        visibility.refuse_mask(source)
    if reading.part == "train" and points is None:
        raise UserError(f"{source} holds no points: there is nothing to train on.")
    kept = {"cache": reading.cache, "cache_dir": reading.cache_dir, "exif": reading.exif}
    kept |= {"boxes": boxes, "point_names": arrays.point_names, "visible": visible}
    faces = Faces(folder, names, points, source=source, **kept)
    return check_images(faces, reading, linked, named_by)


def _cleared(blocks: Iterable[Arrays], doubts: Doubts, first_pixel: float) -> Iterator[Arrays]:
    for block in blocks:
        if block.points is not None:
            points = doubts.clear(block.points, block.seen)
            seen = visibility.encode(block.points, block.seen, points, doubts.missing)
            block = block._replace(points=points - np.float32(first_pixel), seen=seen)
        if block.boxes is not None:
            doubts.measure("boxes", block.boxes)
        yield block


def _write(aside: Path, path: str, blocks: Iterable[Arrays]) -> dict:
    names, shapes, point_names = [], {}, []
    files = (aside / name for name in ("points.f32", "boxes.f32", visibility.FILE))
    with ExitStack() as opened:
        outs = [opened.enter_context(file.open("wb")) for file in files]
        for block in _readable(path, blocks):
            names.append(block.names)
            point_names = list(block.point_names)
            for out, values in zip(outs, block[1:4], strict=True):
                if values is not None:
                    name = Path(out.name).name
                    out.write(np.ascontiguousarray(values, TYPES[Path(name).suffix]))
                    shapes[name] = values.shape[1:]
    count = sum(map(len, names))
    if not count:
        raise UserError(f"{path} holds no faces.")
    np.save(aside / "names.npy", np.concatenate(names))
    counted = {name: [count, *shape] for name, shape in shapes.items()}
    return {"shapes": counted, "point_names": point_names}


def _readable(path: str, blocks: Iterable[Arrays]) -> Iterator[Arrays]:
    """Yield the blocks; say of an error that it was the source's, but for a full disk."""
    try:
        yield from blocks
    except OSError as error:
        if error.errno == errno.ENOSPC:  # of what a reader writes beside the cache
            raise
        reason = error.strerror or str(error).splitlines()[0]
        raise UserError(f"{error.filename or path} cannot be read ({reason}).") from error
