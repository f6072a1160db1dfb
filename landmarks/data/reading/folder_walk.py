"""Finds files below a folder; follows links and skips hidden files."""

import logging
import os
from collections import Counter
from collections.abc import Iterator

from landmarks.errors import UserError, say_count, say_some

log = logging.getLogger(__name__)
IMAGE_ENDINGS = tuple(
    ".jpg .jpeg .jpe .jfif .png .bmp .dib .webp .tif .tiff "
    ".ppm .pgm .pbm .pnm .pam .ras .sr .hdr .gif .jp2 .avif".split()
)
UNREAD_ENDINGS = tuple(  # of pictures and videos that OpenCV does not read
    ".heic .heif .jxl .svg .psd .ico .eps .pdf .apng .tga .j2k .jpx .exr .pfm .pic "
    ".dng .cr2 .cr3 .nef .arw .orf .rw2 .raf .raw "
    ".mp4 .m4v .mov .avi .mkv .webm .wmv .mpg .mpeg".split()
)


def ending(name: str) -> str:
    """Return a file name's ending, lower case, with its dot; "" where it has none."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 (thousands)


def walk_files(root: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the folders below `root`, as paths from it, "" first, and the names of their files.

    Sorted by name. Links to folders are followed, but not those to a folder inside `root` or around
    it; each folder is visited once. Hidden files and folders, macOS's "._" files and __MACOSX
    folders are skipped and counted in a warning.

    Raises:
        UserError: if a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        if isinstance(error, NotADirectoryError):
            raise UserError(f"{error.filename} is a file where a folder is meant: name its folder.")
        if not isinstance(error, FileNotFoundError):
            raise UserError(f"The folder {error.filename} cannot be read ({error.strerror}).")

    hidden: Counter = Counter()
    been = set()
    for folder, folders, files in os.walk(root, onerror=refuse, followlinks=True):
        place = os.stat(folder)  # noqa: PTH116
        hidden.update(name for name in (*folders, *files) if _is_litter(name))
        if (place.st_dev, place.st_ino) in been:
            folders.clear()
            continue
        been.add((place.st_dev, place.st_ino))
        folders[:] = sorted(n for n in folders if not _is_litter(n) and _leads_on(root, folder, n))
        below = os.path.relpath(folder, root).replace(os.sep, "/")
        yield "" if below == "." else below, sorted(n for n in files if not _is_litter(n))
    if hidden:
        few = say_some(hidden, 3)
        few = os.fsencode(few).decode(errors="replace")  # names of any encoding, printable
        log.warning(f"Skipped {say_count(hidden.total(), 'hidden name')} in {root}: {few}.")


def _leads_on(root: str, folder: str, name: str) -> bool:
    """Say whether to visit a folder: it is no link to a folder inside the root or around it."""
    path = os.path.join(folder, name)  # noqa: PTH118
    if not os.path.islink(path):  # noqa: PTH114
        return True
    target, inside = (os.path.join(os.path.realpath(place), "") for place in (path, root))  # noqa: PTH118
    return not target.startswith(inside) and not inside.startswith(target)


def say_unread(names: list[str]) -> str:
    """Return a sentence on the file names of pictures that are never read, or ""."""
    counts = Counter(ending(name) for name in names if ending(name) in UNREAD_ENDINGS)
    if not counts:
        return ""
    listed = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    return f"Skipped {listed}: they are not read; convert them to {IMAGE_ENDINGS[0]} or .png."


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
