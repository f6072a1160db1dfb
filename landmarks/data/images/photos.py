"""The images that `landmarks predict input=` names: a folder, one file, or a list."""

import logging
import os
from pathlib import Path

import numpy as np

from landmarks.data.faces import ExifName, Faces
from landmarks.data.images.decoding import read_image
from landmarks.data.reading.folder_walk import (
    IMAGE_ENDINGS,
    UNREAD_ENDINGS,
    ending,
    say_unread,
    walk_files,
)
from landmarks.data.reading.text_file import read_text
from landmarks.errors import UserError

log = logging.getLogger(__name__)
MAX_UNNAMED_BYTES = 1 << 30  # bytes of a file that may be an image without its ending


def find_images(place: str, limit: int | None = None, exif: ExifName = "rotate") -> Faces:
    """Return the faces of a folder of images, of one image, or of a list, one image path a line.

    Args:
        limit: only so many, the first ones; None: all.
        exif: see `Faces`.

    Raises:
        UserError: if there is none, or a file name is not UTF-8.
    """
    path = Path(place)
    if path.is_dir():
        folder, names = path, _find_below(place)
    elif path.is_file() and (ending(place) in IMAGE_ENDINGS or _is_image(path)):
        folder, names = path.parent, [path.name]
    elif path.is_file():
        folder, names = path.parent, _read_list(path)
    else:
        raise UserError(f"input={place}: there is no such folder, image or list of images.")
    if not names:
        raise UserError(f"input={place}: no images ({', '.join(IMAGE_ENDINGS)}) found there.")
    return Faces(folder, encode_names(names[:limit], str(folder)), source=place, exif=exif)


def encode_names(names: list[str], folder: str) -> np.ndarray:
    """Return file names as `Faces` has them, (N,) bytes of UTF-8.

    Raises:
        UserError: for a name in another encoding.
    """
    try:
        return np.array([name.encode() for name in names])
    except UnicodeEncodeError as error:
        raw = os.fsencode(error.object)
        raise UserError(
            f"The name of {raw} in {folder} is not UTF-8, perhaps '{raw.decode('latin-1')}': "
            f"rename the file."
        ) from error


def _is_image(path: Path) -> bool:
    return path.stat().st_size < MAX_UNNAMED_BYTES and read_image(str(path)) is not None


def _find_below(root: str) -> list[str]:
    names, others = [], []
    for below, files in walk_files(root):
        prefix = f"{below}/" if below else ""
        for name in files:
            is_image = ending(name) in IMAGE_ENDINGS and _is_readable(root, prefix + name)
            (names if is_image else others).append(prefix + name)
    unread = say_unread(others)
    if unread and not names:
        raise UserError(f"input={root}: no images found there. {unread}")
    if unread:
        log.warning(f"{root}: {unread}")
    return sorted(names)


def _is_readable(root: str, name: str) -> bool:
    """Say whether a name is that of a file, or of a broken link, which is reported later."""
    path = os.path.join(root, name)  # noqa: PTH118 (thousands)
    return os.path.isfile(path) or not os.path.exists(path)  # noqa: PTH110, PTH113


def _read_list(path: Path) -> list[str]:
    """Return the lines of a text file; at least one must name a file."""
    unread = f"input={path} is no image that can be read ({', '.join(IMAGE_ENDINGS)})"
    if ending(path.name) in UNREAD_ENDINGS:
        raise UserError(f"{unread}: convert it.")
    try:
        text = read_text(path)
    except OSError as error:
        raise UserError(f"input={path} cannot be read ({error.strerror}).") from error
    except UserError as error:
        raise UserError(f"{unread} and no list of images: {error}") from error
    names = [line.strip() for line in text.splitlines() if line.strip()]
    # os.path: to pathlib a line that is no name at all, as of a wide table, is an error.
    if names and not any(os.path.isfile(path.parent / name) for name in names):  # noqa: PTH113
        raise UserError(
            f"input={path} is no list of images, one path a line: there is no "
            f"'{path.parent / ' '.join(names[0].split())[:80]}'. Tables are read with data=table "
            f"data.test={path}."
        )
    return names
