"""`data=shards`: what `landmarks pack` has written, in a folder or in a store."""

import hashlib
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np

from landmarks.data.caches.cache_folder import cache_root, cannot_make
from landmarks.data.caches.cache_use import claim
from landmarks.data.exclude import find_excluded
from landmarks.data.faces import Asked, Faces, OnError, check_name
from landmarks.data.reading.reader_arguments import Reading
from landmarks.data.shards.shard_images import AHEAD, Packed, ShardOrder
from landmarks.data.shards.shard_index import (
    ASKED,
    LABELS,
    PLACES,
    SAME,
    VERSION,
    PartIndex,
    read_index,
)
from landmarks.data.shards.shard_store import ShardRoom, Store, is_remote
from landmarks.errors import UserError, say_count
from landmarks.machine import say_bytes
from landmarks.settings import Needs, NonNegative, Positive, PositiveInt, Rule, flat

log = logging.getLogger(__name__)
SHOWN = 5  # shards that are named
IN_TRAINING = Needs("/command", "train")
IN_A_STORE = Needs("root", Rule(lambda v: is_remote(str(v)), ""), "a data.root in a store")


@flat
def read_faces(
    root: str,
    *,
    window: Annotated[NonNegative, IN_TRAINING] = 4,
    streams: Annotated[PositiveInt, IN_TRAINING] = 8,
    room_gb: Annotated[Positive, IN_A_STORE] = 10,
    reading: Reading,
) -> Faces:
    """Return the faces of a pack. Images stay in their shards and are read when they are wanted.

    Args:
        root: a folder, or a store's address.
        window, streams: see `landmarks.data.shards.shard_images.ShardOrder`.
        room_gb: how much of a store's shards may lie on this machine's disk at a time.

    That images can be decoded was seen when they were packed, and is not looked at again: damage
    since then is found when an image is read.

    Raises:
        UserError: if there is no pack, it is damaged, or the store cannot be reached.
    """
    index = read_index(root, reading.part, reading.cache_dir)
    note, arrays = index
    _refuse_names(arrays["names"], root)
    order = ShardOrder(streams, window)
    room, lost = None, np.zeros(len(arrays["names"][: reading.limit]), bool)
    if is_remote(root):
        room = _open_room(root, index, order, room_gb, reading)
    else:
        lost = _find_lost(root, index, reading.limit, reading.on_error)
    packed = Packed(root, note["shards"], *(arrays[name] for name in PLACES), order, room)
    kept = {name: arrays[name] for name in LABELS if name in arrays}
    kept |= {name: note[name] for name in SAME}
    kept["flip"] = None if note["flip"] is None else np.array(note["flip"])
    whole = Faces(Path(root), arrays["names"], source=root, packed=packed, **kept)
    if "asked_rows" in arrays:
        whole = replace(whole, asked=Asked(root, *(arrays[f"asked_{key}"] for key in ASKED)))
    faces = _first(whole, reading.limit)
    faces = replace(faces, cache=reading.cache, cache_dir=reading.cache_dir)
    if reading.part == "test":
        return replace(faces, rows=np.flatnonzero(~lost)) if lost.any() else faces
    if faces.points is None:
        raise UserError(f"{root} holds no points of its training faces: pack labelled ones.")
    return replace(faces, rows=np.flatnonzero(~find_excluded(faces, reading.exclude) & ~lost))


def _first(faces: Faces, limit: int | None) -> Faces:
    """Return the first so many faces."""
    if limit is None or limit >= len(faces):
        return faces
    fewer = {key: getattr(faces, key) for key in ("names", *LABELS)}
    fewer = {key: None if values is None else values[:limit] for key, values in fewer.items()}
    asked = faces.asked
    if asked is not None:
        there = asked.faces < limit
        asked = asked._replace(**{key: getattr(asked, key)[there] for key in ASKED})
    return replace(faces, **fewer, asked=asked, packed=faces.packed.take(slice(limit)))


def _find_lost(root: str, index: PartIndex, limit: int | None, on_error: OnError) -> np.ndarray:
    """Return (N,) bool: whose image lies in a shard that is missing, or behind its end?

    Shards of a folder that are missing or cut off are named at the start; none of them is read.

    Raises:
        UserError: if there are some, and images that cannot be read are not to be passed over, or
            none is left.
    """
    note, arrays = index
    shard, start, length = (arrays[name][:limit] for name in ("shard", "start", "length"))
    with os.scandir(root) as entries:
        there = {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
    sizes = np.array([there.get(name, 0) for name in note["shards"]], np.int64)
    used = np.unique(shard).tolist()
    names = [note["shards"][i] for i in used if sizes[i] != note["sizes"][i]]
    if not names:
        return np.zeros(len(shard), bool)
    lost = start + length > sizes[shard]
    shown = ", ".join(names[:SHOWN]) + (" ..." if len(names) > SHOWN else "")
    sentence = f"{root}: {say_count(len(names), 'shard')} missing or of another size ({shown})"
    if on_error == "stop":
        raise UserError(
            f"{sentence}: copy them there again, or set data.on_error=skip to go on without "
            f"their faces."
        )
    if lost.all():
        raise UserError(
            f"{sentence}, and no image of the {say_count(len(lost), 'face')} is left: copy them "
            f"there again."
        )
    log.warning(
        f"{sentence}: {say_count(int(lost.sum()), 'face')} left out, as data.on_error=skip says."
    )
    return lost


def _refuse_names(names: np.ndarray, root: str) -> None:
    """Refuse names that lead out of a folder: what is written beside photos goes by them."""
    joined = b"\n".join(names.tolist())
    if any(sign in joined for sign in (b"..", b"\\", b":", b"\0", b"\n/")) or joined[:1] == b"/":
        for row, name in enumerate(names.tolist()):
            check_name(name.decode(), f"{root}, face {row + 1}")


def _open_room(
    root: str, index: PartIndex, order: ShardOrder, room_gb: float, reading: Reading
) -> ShardRoom:
    """Return the room of a store's shards.

    Raises:
        UserError: if training would need more of them at once than it holds.
    """
    note = index.note
    largest, count = max(note["sizes"]), len(note["sizes"])
    # Those in use, those on their way, and as many that others of this machine fetch.
    needed = min(order.shards_at_once(), count) * largest + 2 * AHEAD * largest
    limit = int(room_gb * 1e9)
    if reading.part == "train" and limit < needed:
        raise UserError(
            f"data.room_gb={room_gb:g} is too small for shards of {say_bytes(largest)}: training "
            f"uses up to {say_bytes(needed)} of them at a time; give it that, or set a smaller "
            f"data.window or data.streams."
        )
    told = {"path": root, "id": note["id"], "version": VERSION}
    key = hashlib.sha256(f"{root} {note['id']}".encode()).hexdigest()[:24]
    folder = cache_root("shards", reading.cache_dir) / key
    try:
        claim(folder, told)
    except OSError as error:
        raise cannot_make(folder, error) from error
    return ShardRoom(folder, Store(root), note["sizes"], limit, AHEAD)
