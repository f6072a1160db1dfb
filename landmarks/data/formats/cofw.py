"""`data=cofw`: COFW's MATLAB files, which hold their images (Burgos-Artizzu et al., ICCV 2013)."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from landmarks.data.caches.cache_folder import cached, describe_source
from landmarks.data.caches.mapped_faces import Arrays, map_faces, to_faces
from landmarks.data.faces import Faces
from landmarks.data.reading.format_signatures import refuse_near, refuse_other
from landmarks.data.reading.reader_arguments import FileReading
from landmarks.data.reading.text_file import refuse_placeholder
from landmarks.data.tables.landmarks_csv import FLOAT32_MAX
from landmarks.errors import UserError, say_count
from landmarks.settings import flat

VERSION = 1
BLOCK = 256  # faces turned into arrays at once
FOLDERS = (".", "COFW_color", "COFW")  # that a file may lie in, from the root
FILES = {
    "train": ("COFW_train_color.mat", "COFW_train.mat"),
    "test": ("COFW_test_color.mat", "COFW_test.mat"),
}
# What h5py raises, wherever a file is read, where that was damaged; others raise these, too.
DAMAGE = (OSError, LookupError, RuntimeError, TypeError, ValueError, MemoryError)
ENDS = {"train": "Tr", "test": "T"}  # of the variables' names


@flat
def read_faces(root: str, *, reading: FileReading) -> Faces:
    """Return the faces of COFW_train_color.mat or COFW_test_color.mat, or of the grey ones.

    Args:
        root: a folder that holds the files, or that holds it as COFW_color or COFW.

    The variables are images (`IsTr`, `IsT`), x, y and occlusion of each point (`phisTr`, `phisT`)
    and x, y, width and height of each box (`bboxesTr`, `bboxesT`). The first pixel is (1, 1) there.
    Images are written once, as PNG files, into the cache.

    Raises:
        UserError: if there is no such file, it is malformed, or h5py is not installed.
    """
    path, end = _find(Path(root), reading.part), ENDS[reading.part]
    source = describe_source(path, VERSION)
    folder, _ = cached(
        "cofw_images", source, lambda aside: _write_images(path, end, aside), reading.cache_dir
    )
    arrays = map_faces("cofw", source, lambda: _read(path, end), reading, first_pixel=1.0)
    return to_faces(arrays, folder / "images", str(path), reading)


def _find(root: Path, part: str) -> Path:
    tried = [root / folder / name for name in FILES[part] for folder in FOLDERS]
    found = next((path for path in tried if path.is_file()), None)
    if found is None:
        refuse_near(root, *FILES[part])
        refuse_other(root, "cofw")
        raise UserError(
            f"There is no {tried[0]}, nor the grey one: put COFW's files there, or set "
            f"data.root=FOLDER."
        )
    return found


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    try:
        import h5py
    except ImportError as error:
        raise UserError(
            f"{path}: to read MATLAB's HDF5 needs h5py: pip install 'landmarks[cofw]'."
        ) from error
    refuse_placeholder(path, "MATLAB file")
    try:
        with h5py.File(path) as file:
            yield file
    except DAMAGE as error:
        # Of the system, such as a full disk that images are written to, or a fault of this program.
        if getattr(error, "errno", None) is not None or not _is_of_h5py(error):
            raise
        reason = str(error).strip("'\"")[:100]
        if not h5py.is_hdf5(path):
            raise UserError(
                f"{path}: not a MATLAB file of version 7.3, which is HDF5 ({reason})."
            ) from error
        raise UserError(
            f"{path} is not a whole MATLAB file ({reason}): it was damaged or not copied whole; "
            f"get it again."
        ) from error


def _is_of_h5py(error: Exception) -> bool:
    """Return whether an error was raised in h5py, as by a damaged file."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals.get("__name__", "").partition(".")[0] == "h5py"


def _find_variable(path: Path, file: Any, name: str) -> Any:
    if name not in file or getattr(file[name], "shape", None) is None:
        keys = map(str, file)  # one that is no text is of bytes
        there = ", ".join(sorted(key for key in keys if not key.startswith("#"))) or "nothing"
        raise UserError(f"{path}: there is no {name}, but {there}; COFW's own file has it.")
    return file[name]


def _find_table(path: Path, file: Any, name: str, count: int) -> np.ndarray:
    """Return a table of numbers (count, n), which MATLAB keeps column by column."""
    stored = _find_variable(path, file, name)
    if stored.dtype.kind not in "iuf" or len(stored.shape) != 2 or stored.shape[1] != count:
        raise UserError(
            f"{path}, {name}: numbers of {say_count(count, 'face')} belong here; found "
            f"{' x '.join(map(str, stored.shape[::-1]))} of {stored.dtype}."
        )
    values = np.asarray(stored, np.float64).T
    if not (np.abs(values) <= FLOAT32_MAX).all():
        row, column = np.argwhere(~(np.abs(values) <= FLOAT32_MAX))[0]
        raise UserError(f"{path}, {name}({row + 1}, {column + 1}): no coordinate.")
    return values


def _read(path: Path, end: str) -> Iterator[Arrays]:
    with _open(path) as file:
        count = _find_variable(path, file, f"Is{end}").size
        numbers = _find_table(path, file, f"phis{end}", count)
        boxes = _find_table(path, file, f"bboxes{end}", count)
    width = numbers.shape[1]
    if width % 3 or not width or boxes.shape[1] != 4:
        raise UserError(
            f"{path}: x, y and occlusion of each point belong in phis{end}, four numbers in "
            f"bboxes{end}; found {width} and {boxes.shape[1]}."
        )
    x, y, occluded = np.split(numbers, 3, axis=1)
    if not np.isin(occluded, (0, 1)).all():
        wrong = occluded[~np.isin(occluded, (0, 1))][0]
        raise UserError(f"{path}, phis{end}: occlusion is 0 or 1; found {wrong:g}.")
    corners = np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]) - 1
    for start in range(0, count, BLOCK):
        some = slice(start, start + BLOCK)
        yield Arrays(
            np.array([_name(i) for i in range(count)[some]], bytes),
            np.stack([x[some], y[some]], axis=2),
            corners[some],
            np.where(occluded[some] > 0, 1, 2),
        )


def _name(face: int) -> str:
    return f"{face + 1:05d}.png"


def _write_images(path: Path, end: str, aside: Path) -> dict:
    """Write the images of a file; return how many these are."""
    (aside / "images").mkdir()
    with _open(path) as file:
        stored = _find_variable(path, file, f"Is{end}")
        are_cells = "ref" in (stored.dtype.metadata or {})
        cells = np.asarray(stored).ravel() if are_cells else [None]
        for face, cell in enumerate(cells):
            pixels = np.asarray(file[cell]) if cell else np.zeros(0)
            is_image = pixels.ndim == 2 or (pixels.ndim == 3 and len(pixels) == 3)
            if pixels.dtype != np.uint8 or not is_image or not pixels.size:
                raise UserError(
                    f"{path}, Is{end}{{{face + 1}}}: an image of bytes belongs here, height x "
                    f"width or height x width x 3; found "
                    f"{' x '.join(map(str, pixels.shape[::-1]))} of {pixels.dtype}."
                )
            # MATLAB keeps columns first, OpenCV blue first.
            upright = pixels.T if pixels.ndim == 2 else pixels[::-1].T
            packed = cv2.imencode(".png", np.ascontiguousarray(upright))[1]
            (aside / "images" / _name(face)).write_bytes(packed.tobytes())
    return {"images": len(cells)}
