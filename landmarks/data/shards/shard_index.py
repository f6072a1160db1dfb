"""What a pack says of itself: pack.json, and a part's labels as one array a file.

pack.json            version, and of each part its shards, arrays and what is the same of all
train/points.npy     (N, K, 2) and others, by row of the part
train-00000.tar      images in webdataset's form: 000000000.jpg, and 000000000.npz of its labels
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from landmarks.data.caches.cache_folder import cached
from landmarks.data.shards.shard_store import Store, is_remote
from landmarks.errors import UserError
from landmarks.files import NUMPY_DAMAGE

PACK = "pack.json"
VERSION = 1
LABELS = ("points", "boxes", "visible", "sets", "wanted")  # of `Faces`, by row
ASKED = ("rows", "faces", "places")  # of `Faces.asked`
PLACES = ("shard", "start", "length", "check")  # of `Packed`
SAME = ("exif", "point_names", "flip", "weights", "scored_to")  # of all faces
NEEDED = ("id", "arrays", "shards", "sizes", *SAME)


class PartIndex(NamedTuple):
    """A part of a pack: what pack.json says of it, and its arrays, mapped, by name."""

    note: dict
    arrays: dict[str, np.ndarray]


def read_index(root: str, part: str, cache_dir: str | None) -> PartIndex:
    """Return what a pack says of a part. From a store its labels are fetched once, into the cache.

    Raises:
        UserError: if there is no pack, or no such part, or it is damaged, or the store cannot be
            reached.
    """
    note = _read_note(root, part)
    if not is_remote(root):
        return PartIndex(note, _map(Path(root, part), note, root))
    store = Store(root)

    def build(aside: Path) -> dict:
        for name in note["arrays"]:
            if not store.copy(f"{part}/{name}.npy", aside / f"{name}.npy"):
                raise UserError(f"{store.address(part)}/{name}.npy is missing: pack again.")
        _map(aside, note, root)
        return {}

    source = {"path": f"{root}, {part} faces", "id": note["id"], "version": VERSION}
    folder, _ = cached("packs", source, build, cache_dir)
    return PartIndex(note, _map(folder, note, root))


def _read_note(root: str, part: str) -> dict:
    text = _read_text(root)
    try:
        whole: Any = json.loads(text)
        version, parts = whole["version"], whole["parts"]
        note = parts.get(part)
        lacking = [] if note is None else [key for key in NEEDED if key not in note]
        lacking += [] if lacking or note is None else sorted({"names", *PLACES} - {*note["arrays"]})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{root}/{PACK} is damaged, or of another program: pack again.") from error
    if version != VERSION or lacking:
        raise UserError(
            f"{root}/{PACK} is of version {version}, and this program reads {VERSION}: pack again."
        )
    if note is None:
        raise UserError(f"{root} holds no {part} faces, but {', '.join(parts) or 'none'}.")
    return note


def _read_text(root: str) -> bytes | str:
    missing = f"There is no {root.rstrip('/')}/{PACK}: name what `landmarks pack` has written with "
    missing += "data.root=, a folder or a store's address."
    if is_remote(root):
        text = Store(root).read(PACK)
        if text is None:
            raise UserError(missing)
        return text
    try:
        return Path(root, PACK).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(missing) from error
    except OSError as error:
        raise UserError(f"{root}/{PACK} cannot be read ({error.strerror}).") from error


def _map(folder: Path, note: dict, root: str) -> dict[str, np.ndarray]:
    """Return a part's arrays, mapped.

    Raises:
        UserError: if one is not as pack.json has it.
    """
    arrays = {}
    for name, told in note["arrays"].items():
        path = folder / f"{name}.npy"
        try:
            array = np.load(path, mmap_mode="r")
            is_same = [array.dtype.str, list(array.shape)] == told
        except NUMPY_DAMAGE:
            is_same = False
        if not is_same:
            raise UserError(f"{path.name} of {root} is missing or damaged: restore or pack again.")
        arrays[name] = array
    return arrays


def save_rows(path: Path, values: np.ndarray, rows: np.ndarray) -> list:
    """Write values[rows] as a .npy file, block by block; return their type and shape, as JSON."""
    block = max(1, (1 << 24) // max(1, values[:1].nbytes))
    shape, dtype = (len(rows), *values.shape[1:]), values.dtype
    with path.open("wb") as file:
        told = {"descr": dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_2_0(file, told)
        for start in range(0, len(rows), block):
            file.write(np.ascontiguousarray(values[rows[start : start + block]]))
    return [dtype.str, list(shape)]
