"""Writes a pack: images as they are in tar files of a given size, with their labels beside them."""

import hashlib
import io
import json
import re
import tarfile
import zlib
from pathlib import Path

import numpy as np
from tqdm import tqdm

from landmarks.data.caches.cache_folder import sync_folder
from landmarks.data.faces import Faces
from landmarks.data.images.decoding import read_bytes
from landmarks.data.shards.shard_index import ASKED, LABELS, PACK, SAME, VERSION, save_rows
from landmarks.errors import UserError, say_count
from landmarks.files import aside, sweep, writing

TAR_HEADER = 512  # bytes before each file in a tar
IMAGE_ENDING = re.compile(r"\.[a-z0-9]{1,8}")


def write_pack(parts: dict[str, Faces], out: Path, shard_bytes: int) -> dict:
    """Write a folder that `landmarks.data.formats.shards` reads; return what its pack.json says.

    It gets its name when it is whole. Only faces whose images can be used are packed; an image that
    shows several faces is packed once.

    Args:
        parts: "train" and "test", or one of them.
        out: there must be nothing yet.
        shard_bytes: a shard ends with the image that takes it so far.

    Raises:
        UserError: if there is something, an image cannot be read, or the disk is full.
    """
    if out.exists():
        raise UserError(f"out={out} is there already: remove it, or name another folder.")
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    sweep(out.parent)
    with aside(out) as folder:
        with writing(out):
            folder.mkdir()
        notes = {
            part: _write_part(faces, part, folder, out, shard_bytes)
            for part, faces in parts.items()
        }
        note = {"version": VERSION, "parts": notes}
        with writing(out):
            (folder / PACK).write_text(json.dumps(note, indent=1))
            sync_folder(folder)
            folder.rename(out)
    return note


class _Shards:
    """Writes one shard after the other, each a tar file."""

    def __init__(self, folder: Path, part: str, out: Path, limit: int):
        self.folder, self.part, self.out, self.limit = folder, part, out, limit
        self.names: list[str] = []
        self.tar: tarfile.TarFile | None = None
        self.count = 0

    def add(self, ending: str, image: bytes, labels: dict[str, np.ndarray]) -> tuple[int, int]:
        """Write an image and its labels; return its shard and where it begins there."""
        packed = io.BytesIO()
        np.savez(packed, **labels)
        with writing(self.out):
            if self.tar is None or self.tar.offset >= self.limit:
                self.close()
                self.names.append(f"{self.part}-{len(self.names):05d}.tar")
                path = self.folder / self.names[-1]
                self.tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
            start = self.tar.offset + TAR_HEADER
            for end, data in ((ending, image), (".npz", packed.getvalue())):
                told = tarfile.TarInfo(f"{self.count:09d}{end}")
                told.size = len(data)
                self.tar.addfile(told, io.BytesIO(data))
        self.count += 1
        return len(self.names) - 1, start

    def close(self) -> None:
        """End the shard under way."""
        if self.tar is not None:
            self.tar.close()


def _write_part(faces: Faces, part: str, folder: Path, out: Path, shard_bytes: int) -> dict:
    """Write a part's shards and arrays; return what pack.json says of it."""
    rows = faces.usable
    if faces.asked is not None and len(rows) < len(faces):
        raise UserError(
            f"{faces.asked.source} asks for points of images that cannot be read: restore them."
        )
    places = _write_shards(faces, rows, _Shards(folder, part, out, shard_bytes))
    shards = sorted(folder.glob(f"{part}-*.tar"))
    arrays = {"names": faces.names[rows], **places}
    arrays |= {f"asked_{key}": getattr(faces.asked, key) for key in ASKED if faces.asked}
    every = {name: (values, np.arange(len(values))) for name, values in arrays.items()}
    labels = {name: getattr(faces, name) for name in LABELS}
    every |= {name: (values, rows) for name, values in labels.items() if values is not None}
    with writing(out):
        (folder / part).mkdir()
        told = {
            name: save_rows(folder / part / f"{name}.npy", values, chosen)
            for name, (values, chosen) in every.items()
        }
    same = {key: getattr(faces, key) for key in SAME}
    same["flip"] = None if faces.flip is None else [int(i) for i in faces.flip]
    same["point_names"], same["weights"] = list(faces.point_names), list(faces.weights)
    return {
        "id": _identify(arrays),
        "faces": len(rows),
        "images": len(np.unique(arrays["names"])),
        "arrays": told,
        "shards": [path.name for path in shards],
        "sizes": [path.stat().st_size for path in shards],
        **same,
    }


def _write_shards(faces: Faces, rows: np.ndarray, shards: _Shards) -> dict[str, np.ndarray]:
    """Write the images of rows (n,); return (n,) of each of `Packed`'s places."""
    _, first, of_row = np.unique(faces.names[rows], return_index=True, return_inverse=True)
    ends = np.cumsum(np.bincount(of_row))[:-1]
    shown = np.split(np.argsort(of_row, kind="stable"), ends)  # faces of each image
    places = {
        "shard": np.zeros(len(rows), np.int32),
        "start": np.zeros(len(rows), np.int64),
        "length": np.zeros(len(rows), np.int32),
        "check": np.zeros(len(rows), np.uint32),
    }
    bar = tqdm(total=len(first), desc=f"packing {shards.part} images", unit="image", disable=None)
    try:
        for image in np.argsort(first):  # in the order of the faces
            here = shown[image]
            row = int(rows[here[0]])
            data = read_bytes(faces.path(row))
            if data is None:
                raise UserError(f"{faces.path(row)} cannot be read: restore it.")
            ending = IMAGE_ENDING.fullmatch(Path(faces.name(row)).suffix.lower())
            labels = {"name": np.array(faces.name(row)), **_labels_of(faces, rows[here])}
            shard, start = shards.add(ending[0] if ending else ".img", data, labels)
            found = (shard, start, len(data), zlib.crc32(data))
            for key, value in zip(places, found, strict=True):
                places[key][here] = value
            bar.update()
    finally:
        bar.close()
        with writing(shards.out):
            shards.close()
    return places


def _labels_of(faces: Faces, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return points, boxes and visibility of an image's faces, as they stand in its .npz."""
    kept = {name: getattr(faces, name) for name in ("points", "boxes", "visible")}
    return {name: values[rows] for name, values in kept.items() if values is not None}


def _identify(arrays: dict[str, np.ndarray]) -> str:
    """Return what tells a part from another: of its images' names and contents."""
    content = hashlib.sha256()
    for name in ("names", "length", "check"):
        content.update(np.ascontiguousarray(arrays[name]).tobytes())
    return content.hexdigest()[:24]


def say_pack(note: dict) -> str:
    """Return in words what a pack holds."""
    told = (
        f"{say_count(part['faces'], f'{name} face')} in {say_count(len(part['shards']), 'shard')}"
        for name, part in note["parts"].items()
    )
    return ", ".join(told)
