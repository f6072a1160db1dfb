"""Image files: reading one, and finding those of a data set that cannot be read."""

import hashlib
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from tqdm import tqdm

from landmarks.data.cachefolder import cached
from landmarks.data.exclude import find_excluded
from landmarks.data.faces import Faces
from landmarks.data.nearnames import say_near_files
from landmarks.errors import UserError

log = logging.getLogger(__name__)
VERSION = 1
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def read_image(path: str, flags: int = cv2.IMREAD_COLOR) -> np.ndarray | None:
    """Return an image (H, W, 3) uint8 in OpenCV's BGR order, or None if it cannot be read whole."""
    data = read_bytes(path)
    return None if data is None else decode(data, flags)


def read_bytes(path: str) -> bytes | None:
    """Return a file's content, or None if it cannot be read or is a JPEG that was cut off."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 (once a face, every epoch)
            data = file.read()
    except OSError:
        return None
    # Some decoders fill what is missing of a cut-off JPEG with grey and say nothing.
    if data[:2] == b"\xff\xd8" and data.rfind(b"\xff\xd9", max(0, len(data) - 65536)) < 0:
        return None
    return data


def decode(data: bytes, flags: int = cv2.IMREAD_COLOR) -> np.ndarray | None:
    """Return the image in a file's content, BGR, or None."""
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height from a JPEG's header; None if it is none, or may be stored turned.

    Cameras store the turn in an EXIF segment, which OpenCV obeys.
    """
    at = 2
    while data[:2] == b"\xff\xd8" and at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xE1:  # EXIF, or Adobe's XMP
            return None
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            size = int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
            return size if all(size) else None
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None


def check_images(
    faces: Faces,
    on_error: Literal["stop", "skip"],
    cache_dir: str | None,
    decode: bool,
    exclude: str | None = None,
) -> Faces:
    """Return the faces with `rows` set to those that are not excluded and whose images can be read.

    Args:
        faces: names and their folder.
        on_error: "stop" raises at unreadable images, "skip" leaves them out and says how many.
        cache_dir: where it is kept that images were found good; None: the user's cache folder.
        decode: look into every image, once per data set; else only see that the file is there.
        exclude: a file that names faces to leave out, whether their images can be read or not.

    Raises:
        UserError: with the list, for unreadable images; for a link that leaves the images folder.
    """
    present = _find_files(faces)
    good = present.copy()
    if decode:
        good[present] = _decodable(faces, np.flatnonzero(present), cache_dir)
    kept = ~find_excluded(faces, exclude)
    bad = np.flatnonzero(~good & kept)
    if not len(bad):
        return replace(faces, rows=np.flatnonzero(kept))
    missing = int((~present & kept).sum())
    listed = ", ".join(faces.name(row) for row in bad[:20]) + (", ..." if len(bad) > 20 else "")
    what = f"{len(bad)} of {len(faces)} images ({missing} missing, {len(bad) - missing} unreadable)"
    lost = [faces.name(row) for row in np.flatnonzero(~present & kept)]
    near = say_near_files(lost, faces.folder) if lost else ""
    remedy = "Correct the names or restore the images" if near else "Restore them"
    if on_error == "stop":
        raise UserError(
            f"{what} in {faces.folder}: {listed}.{near} {remedy}, or leave them out with "
            f"data.on_error=skip."
        )
    rows = np.flatnonzero(good & kept)
    if not len(rows):
        raise UserError(f"Not one image of {faces.source} can be read in {faces.folder}.{near}")
    log.warning("Left out %s in %s: %s.%s", what, faces.folder, listed, near)
    return replace(faces, rows=rows)


def _find_files(faces: Faces) -> np.ndarray:
    """Return (N,) bool: is the file there? Refuse links that lead out of the images folder."""
    inside = os.path.realpath(faces.folder) + os.sep
    present, suspects = [], []
    with os.scandir(os.fsencode(faces.folder)) as entries:
        for entry in entries:
            present.append(entry.name)
            if entry.is_symlink():
                suspects.append(entry.name)
    found = np.isin(faces.names, np.array(present))
    nested = np.char.find(faces.names, b"/") >= 0
    for row in np.flatnonzero(nested | np.isin(faces.names, np.array(suspects, dtype=bytes))):
        found[row] = os.path.exists(faces.path(row))  # noqa: PTH110
        if not os.path.realpath(faces.path(row)).startswith(inside):
            raise UserError(
                f"{faces.path(row)} is a link that leaves the images folder; put the file itself "
                f"there."
            )
    return found


def _decodable(faces: Faces, rows: np.ndarray, cache_dir: str | None) -> np.ndarray:
    """Return (n,) bool: can the image be decoded? Good ones are remembered, bad ones are not."""
    names = hashlib.sha256(np.ascontiguousarray(faces.names[rows]).tobytes()).hexdigest()
    source = {
        "path": str(faces.folder.resolve()),
        "mtime_ns": faces.folder.stat().st_mtime_ns,
        "names": names,
        "version": VERSION,
    }

    def build(aside: Path) -> dict:
        np.save(aside / "good.npy", _decode_all(faces, rows))
        return {"images": len(rows)}

    folder, _ = cached("images", source, build, cache_dir)
    good = np.load(folder / "good.npy")
    again = np.flatnonzero(~good)
    good[again] = [_decodes(faces, rows[i]) for i in again]
    return good


def _decodes(faces: Faces, row: int) -> bool:
    return read_image(faces.path(row), cv2.IMREAD_REDUCED_GRAYSCALE_8) is not None


def _decode_all(faces: Faces, rows: np.ndarray) -> np.ndarray:
    def decode(chunk: np.ndarray) -> list[bool]:
        return [_decodes(faces, row) for row in chunk]

    chunks = np.array_split(rows, max(1, len(rows) // 64))
    bar = tqdm(total=len(rows), desc="checking images", unit="image", disable=None)
    good: list[bool] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool, bar:
        for checked in pool.map(decode, chunks):
            good += checked
            bar.update(len(checked))
    return np.array(good, dtype=bool)


def find_images(place: str, limit: int | None = None) -> Faces:
    """Return the faces of a folder of images, or of a text file with one image path a line.

    Args:
        place: the folder or file.
        limit: only so many, the first ones; None: all.

    Raises:
        UserError: if there is none.
    """
    path = Path(place)
    if path.is_dir():
        names = sorted(
            str(file.relative_to(path).as_posix())
            for file in path.rglob("*")
            if file.suffix.lower() in IMAGE_ENDINGS and file.is_file()
        )
        folder = path
    elif path.is_file() and path.suffix.lower() in IMAGE_ENDINGS:
        names, folder = [path.name], path.parent
    elif path.is_file():
        listed = path.read_text(encoding="utf-8", errors="replace").splitlines()
        names, folder = [line.strip() for line in listed if line.strip()], path.parent
    else:
        raise UserError(f"input={place}: there is no such folder, image or list of images.")
    if not names:
        raise UserError(f"input={place}: no images ({', '.join(IMAGE_ENDINGS)}) found there.")
    names = np.array([name.encode() for name in names[:limit]])
    return Faces(folder, names, source=place)
