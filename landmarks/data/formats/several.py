"""`data=several`: several data sets as one, with weights, and with points mapped to one layout."""

import importlib
import inspect
import os
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np

from landmarks.data import formats
from landmarks.data.caches.cache_folder import cached
from landmarks.data.exclude import find_excluded
from landmarks.data.faces import Faces
from landmarks.data.point_map import read_map
from landmarks.data.reading.reader_arguments import Reading
from landmarks.errors import UserError, did_you_mean
from landmarks.settings import Rule, check_arguments, flat

VERSION = 1
BLOCK = 4096  # faces copied at once
OWN = ("data", "weight", "map")  # what a set says beside its reader's settings
SHARED = {field.name for field in fields(Reading)}
Sets = Annotated[
    list,
    Rule(
        lambda v: all(isinstance(x, dict) for x in v),
        "a list of data sets, such as [{data: wflw, root: wflw}, {data: ibug, root: 300w}]",
    ),
]


class _Set(NamedTuple):
    """One of the sets: its faces, how often each is seen, and which of its points each point is."""

    where: str
    faces: Faces
    weight: float
    chosen: np.ndarray | None


@flat
def read_faces(sets: Sets, *, reading: Reading) -> Faces:
    """Return the faces of all sets, one set after the other.

    Args:
        sets: each holds `data`, the name of a reader; that reader's settings; `weight`, how often
            an epoch of training shows each of its faces (1 unless it says), and `map`, see
            `landmarks.data.point_map.read_map`. Points are those of the first set without a map;
            sets that name the same points in another order follow it.

    A point that a set has no partner of is unlabelled there. The other settings hold for all sets,
    `limit` for each of them by itself.

    Raises:
        UserError: if a set cannot be read, or the sets do not fit one another.
    """
    if not sets:
        raise UserError(
            "data=several needs the data sets: data.sets=[{data: FORMAT, root: FOLDER}, ...]."
        )
    opened = [_open(f"data.sets[{i}]", dict(one), reading) for i, one in enumerate(sets)]
    parts = _map_points(opened)
    folder, names = _common_names(parts)
    kept = {key: _agree(parts, key) for key in ("exif", "point_names", "scored_to")}
    flips = [None if part.faces.flip is None else list(part.faces.flip) for part in parts]
    arrays = _join(parts, reading.cache_dir)
    faces = Faces(
        folder,
        names,
        source=", ".join(part.faces.source for part in parts),
        rows=_join_rows(parts),
        cache=reading.cache,
        cache_dir=reading.cache_dir,
        sets=np.repeat(np.arange(len(parts), dtype=np.uint8), [len(p.faces) for p in parts]),
        weights=tuple(part.weight for part in parts),
        flip=parts[0].faces.flip if all(flip == flips[0] for flip in flips) else None,
        **arrays,
        **kept,
    )
    if reading.part == "test":
        return faces
    return replace(faces, rows=faces.rows[~find_excluded(faces, reading.exclude)[faces.rows]])


def _open(where: str, node: dict, reading: Reading) -> _Set:
    name, weight, chosen = (node.pop(key, None) for key in OWN)
    reader = _find_reader(where, name)
    weight = 1.0 if weight is None else weight
    if type(weight) not in (int, float) or not 0 < weight <= 1000:
        raise UserError(f"{where}.weight={weight} does not fit: it takes a number above 0.")
    if not isinstance(chosen, str | None):
        raise UserError(f"{where}.map={chosen} does not fit: it takes a file or the name of a map.")
    for key in node:
        if key in SHARED:
            raise UserError(f"{where}.{key}: set data.{key}, which holds for all sets.")
    arguments = check_arguments(reader, node, where)
    known = inspect.signature(reader).parameters
    lacking = [
        key
        for key, parameter in known.items()
        if parameter.default is parameter.empty and key not in arguments
    ]
    if reading.part == "train":  # what is read of the test part is not needed
        arguments |= {key: "" for key in lacking if key.startswith("test")}
        lacking = [key for key in lacking if key not in arguments]
    if lacking:
        raise UserError(f"{where} lacks {', '.join(lacking)}, which data={name} needs.")
    shared = {key: getattr(reading, key) for key in SHARED if key in known}
    shared |= {"exclude": None} if "exclude" in known else {}
    faces = reader(**arguments, **shared)
    if faces.packed is not None:
        raise UserError(
            f"{where}: packed faces are a data set by themselves: pack the sets together, with "
            f"landmarks pack data=several, or name their own files here."
        )
    return _Set(where, faces, float(weight), chosen)


def _find_reader(where: str, name: object) -> Callable:
    known = [module.name for module in pkgutil.iter_modules(formats.__path__)]
    known.remove("several")
    if name in known:
        reader = getattr(importlib.import_module(f"{formats.__name__}.{name}"), "read_faces", None)
        if reader is not None:
            return reader
    hint = did_you_mean(str(name), known)
    raise UserError(f"{where}.data={name}: name the set's format, such as data: table.{hint}")


def _map_points(opened: list[_Set]) -> list[_Set]:
    """Return the sets with their maps read: all have one number of points then."""
    plain = next((one.faces for one in opened if one.chosen is None and one.faces.num_points), None)
    count, names = (None, []) if plain is None else (plain.num_points, list(plain.point_names))
    parts = []
    for one in opened:
        if one.chosen is not None:
            have = one.faces.num_points
            chosen = read_map(one.chosen, have, one.faces.point_names, count, names)
            faces = replace(one.faces, flip=None, point_names=names)
            one = one._replace(chosen=chosen, faces=faces)
        elif names != (own := list(one.faces.point_names)) and sorted(names) == sorted(own):
            order = np.array([own.index(name) for name in names])  # as labelling tools sort them
            faces = replace(one.faces, flip=None, point_names=names)
            one = one._replace(chosen=order, faces=faces)
        number = one.faces.num_points if one.chosen is None else len(one.chosen)
        if count is not None and one.faces.points is not None and number != count:
            raise UserError(
                f"{one.where} has faces of {number} points and the others of {count}: say which "
                f"are the same with map: FILE in that set."
            )
        count = count or number or None
        parts.append(one)
    return parts


def _agree(parts: list[_Set], key: str) -> object:
    """Return what the sets have in common; of names, those of the sets that have some."""
    values = [(part.where, getattr(part.faces, key)) for part in parts]
    if key == "point_names":
        _refuse_nameless(parts)
        values = [(where, list(value)) for where, value in values if len(value)]
    first = values[0] if values else ("", ())
    other = next((one for one in values if one[1] != first[1]), None)
    if other is None:
        return first[1]
    if key == "scored_to":
        return None
    said, a, b = {
        "exif": ("give both the same exif", first[1], other[1]),
        "point_names": ("say which are the same with map: FILE", *_differing(first[1], other[1])),
    }[key]
    raise UserError(f"{first[0]} and {other[0]} differ ({a} and {b}): {said}.")


def _refuse_nameless(parts: list[_Set]) -> None:
    """Refuse sets of which some name their points and others do not: their orders may differ."""
    labelled = [part for part in parts if part.chosen is None and part.faces.num_points]
    named = next((part for part in labelled if len(part.faces.point_names)), None)
    nameless = next((part for part in labelled if not len(part.faces.point_names)), None)
    if named is not None and nameless is not None:
        raise UserError(
            f"{named.where} names its points ({', '.join(named.faces.point_names[:3])}, ...) and "
            f"{nameless.where} does not, so that their orders may differ: say which are the same "
            f"with map: FILE."
        )


def _differing(first: list[str], other: list[str]) -> tuple[str, str]:
    return next((a, b) for a, b in zip(first, other, strict=False) if a != b)


def _common_names(parts: list[_Set]) -> tuple[Path, np.ndarray]:
    """Return a folder that holds all sets' images, and the names from there."""
    folders = [os.path.abspath(part.faces.folder) for part in parts]  # noqa: PTH100 (links stay)
    try:
        common = os.path.commonpath(folders)
    except ValueError as error:
        raise UserError(
            f"data=several: {folders[0]} and others lie on different drives; put them on one."
        ) from error
    names = []
    for folder, part in zip(folders, parts, strict=True):
        below = Path(folder).relative_to(common).as_posix()
        prefix = b"" if below == "." else f"{below}/".encode()
        names.append(np.char.add(prefix, part.faces.names))
    return Path(common), np.concatenate(names)


def _join_rows(parts: list[_Set]) -> np.ndarray:
    starts = np.cumsum([0, *(len(part.faces) for part in parts)])
    rows = [p.faces.usable for p in parts]
    return np.concatenate([start + some for start, some in zip(starts, rows, strict=False)])


def _join(parts: list[_Set], cache_dir: str | None) -> dict[str, np.ndarray | None]:
    """Return points, boxes and visibility of all faces, mapped from a file in the cache."""
    shapes = {}
    for key, dtype in (("points", np.float32), ("boxes", np.float32), ("visible", np.uint8)):
        there = [p for p in parts if getattr(p.faces, key) is not None]
        if there:
            points = [len(p.chosen) if p.chosen is not None else p.faces.num_points for p in there]
            tail = {"points": (max(points), 2), "boxes": (4,), "visible": (max(points),)}[key]
            shapes[key] = (dtype, (sum(len(p.faces) for p in parts), *tail))

    def build(aside: Path) -> dict:
        for key, (dtype, shape) in shapes.items():
            with (aside / key).open("wb") as out:
                for block in _blocks(parts, key, shape[1:]):
                    out.write(np.ascontiguousarray(block, dtype))
        return {}

    source = {
        "path": "; ".join(part.faces.source for part in parts),
        "sets": [_identify(part) for part in parts],
        "version": VERSION,
    }
    folder, _ = cached("several", source, build, cache_dir)
    arrays = {
        key: np.memmap(folder / key, dtype, mode="r", shape=shape)
        for key, (dtype, shape) in shapes.items()
    }
    return {key: arrays.get(key) for key in ("points", "boxes", "visible")}


def _identify(part: _Set) -> list:
    """Return what the joined arrays of a set depend on: the cache's own files, by their stamps."""
    files = []
    for key in ("points", "boxes", "visible"):
        values = getattr(part.faces, key)
        if values is None:
            files.append(None)
            continue
        path = Path(values.filename)
        files.append([str(path), path.stat().st_mtime_ns, path.stat().st_size])
    chosen = None if part.chosen is None else part.chosen.tolist()
    return [files, len(part.faces), chosen]


def _blocks(parts: list[_Set], key: str, tail: tuple[int, ...]) -> Iterator[np.ndarray]:
    for part in parts:
        values = getattr(part.faces, key)
        for start in range(0, len(part.faces), BLOCK):
            count = min(BLOCK, len(part.faces) - start)
            if values is None:
                yield np.full((count, *tail), 0 if key == "visible" else np.nan)
                continue
            block = np.asarray(values[start : start + count])
            if part.chosen is not None and key != "boxes":
                block = block[:, part.chosen]
                block[:, part.chosen < 0] = 0 if key == "visible" else np.nan
            yield block
