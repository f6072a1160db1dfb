"""Faces: the one form in which every data set reaches the rest of the program."""

import os
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import numpy as np

from landmarks.data.caches.pickled_maps import remap, unmap
from landmarks.errors import UserError
from landmarks.settings import Needs

if TYPE_CHECKING:
    from landmarks.data.shards.shard_images import Packed

# How a name begins that leads elsewhere: from the root, a Windows drive, or the web.
ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:[/\\]|\w+://" + ("|[A-Za-z]:" if os.name == "nt" else ""))
TRAINED = ("train", "plan")  # commands
CacheName = Annotated[Literal["auto", "device", "disk", "ram", "off"], Needs("/command", TRAINED)]
OnError = Annotated[
    Literal["stop", "skip"],
    Needs("/command", (*TRAINED, "predict", "evaluate", "show", "pack")),
]
READ_TRAINING = Needs("/command", (*TRAINED, "check", "evaluate", "show", "pack"))
Excluded = Annotated[str | None, READ_TRAINING]
TrainingPath = Annotated[str, READ_TRAINING]
TrainingPlace = Annotated[str | None, READ_TRAINING]
ExifName = Literal["rotate", "ignore"]


class Asked(NamedTuple):
    """R coordinates that a contest's table asks for, in its order; of each face other ones.

    source: the table, for messages; rows (R,) int: its numbers of them; faces (R,) int: which face;
    places (R,) int: 2k is x and 2k + 1 is y of point k.
    """

    source: str
    rows: np.ndarray
    faces: np.ndarray
    places: np.ndarray


@dataclass(frozen=True, eq=False)
class Faces:
    """N faces: file names and points, as arrays (memory-mapped where large), no object per face.

    Args:
        folder: the images' folder.
        names: (N,) bytes, UTF-8 file names inside `folder`; one may stand several times where an
            image shows several faces.
        points: (N, K, 2) float32, (x, y) in original pixels, NaN where unlabelled; None: no labels.
            Never written to.
        wanted: (N, M) int32, the points a submission asks of each face, in its order; None: none.
        source: the file the faces were read from, for messages.
        rows: (n,) the faces whose images can be used; None: all.
        boxes: (N, 4) float32, x0, y0, x1, y1 of each face, the positions of its edges in the
            points' own coordinates (see `landmarks.geometry.box_matrix`), NaN where it has none;
            None: the data set has no boxes.
        cache: where their cropped images may be kept, see
            `landmarks.data.batches.cached_crops.open_canvas`.
        cache_dir: the folder of caches; None: the user's cache folder.
        exif: "rotate" turns the images as their EXIF orientation says, and the points are those of
            the turned image; "ignore" leaves images and points as they are stored.
        point_names: K names of the points, as the data has them; empty: it has none.
        pixels: N images in memory, (H, W, 3) uint8 BGR, each in place of its file; where one is
            None, and where all are, the files are read.
        flip: (K,) the flip permutation that the data names; None: it names none.
        visible: (N, K) uint8: 0 where a point is not labelled, 1 where it is occluded, 2 where it
            is visible, 0 too where the data does not say; None: it never says.
        sets: (N,) uint8, which of several data sets each face is of; None: there is one.
        weights: how often an epoch of training shows each face of these sets.
        asked: the coordinates a submission asks, where it asks not the same of each face.
        scored_to: a contest's score clips predicted coordinates to 0 ... this; None: it does not.
        packed: where their images lie in shards; None: each is a file of `folder`.
    """

    folder: Path
    names: np.ndarray
    points: np.ndarray | None = None
    wanted: np.ndarray | None = None
    source: str = ""
    rows: np.ndarray | None = None
    boxes: np.ndarray | None = None
    cache: CacheName = "off"
    cache_dir: str | None = None
    exif: ExifName = "rotate"
    pixels: Sequence[np.ndarray | None] | None = None
    point_names: Sequence[str] = ()
    flip: np.ndarray | None = None
    visible: np.ndarray | None = None
    sets: np.ndarray | None = None
    weights: Sequence[float] = ()
    asked: Asked | None = None
    scored_to: float | None = None
    packed: "Packed | None" = None

    def __post_init__(self):
        if self.packed is not None and len(self.packed.shard) != len(self.names):
            raise ValueError("packed faces are taken with their places: see Packed.take")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def num_points(self) -> int:
        """K; 0 without labels."""
        return 0 if self.points is None else self.points.shape[1]

    @property
    def usable(self) -> np.ndarray:
        """The faces (n,) whose images can be used."""
        return np.arange(len(self)) if self.rows is None else self.rows

    def name(self, row: int) -> str:
        """Return the file name of a face."""
        return self.names[row].decode()

    def say(self, row: int) -> str:
        """Return in words which image a face's is: its name, and its shard where it has one."""
        name = self.name(row)
        return name if self.packed is None else f"{name} in {self.packed.shard_of(row)}"

    def bring(self, rows: np.ndarray) -> None:
        """Fetch the shards of these faces (n,), where they lie in a store: many are to be read."""
        if self.packed is not None:
            self.packed.bring(rows)

    def path(self, row: int) -> str:
        """Return the path of a face's image; of packed ones, a
        `landmarks.data.shards.shard_images.PackedImage`.

        Its bytes are read by `landmarks.data.images.decoding.read_bytes`.
        """
        if self.packed is not None:
            return self.packed.place(row, self.name(row))
        return os.path.join(self.folder, self.name(row))  # noqa: PTH118 (five times a Path's speed)

    def __getstate__(self) -> dict:
        # A worker process gets the file to map, not a copy of what is mapped.
        return {key: unmap(value) for key, value in vars(self).items()}

    def __setstate__(self, state: dict) -> None:
        vars(self).update({key: remap(value) for key, value in state.items()})


def plain_names(names: np.ndarray) -> np.ndarray:
    """Return names (n,) bytes, each in its shortest spelling: `./a.jpg` is `a.jpg`."""
    joined = b"\n".join(names.tolist())
    if b"./" not in joined and b"//" not in joined:  # as nearly everywhere
        return names
    return np.array([posixpath.normpath(name) if name else name for name in names.tolist()])


def check_name(name: str, where: str) -> None:
    """Raise UserError if a file name leads out of the images folder, or can be none."""
    if not name or "\0" in name:
        raise UserError(f"{where}: {name[:60]!r} can be no file name; correct it.")
    parts = name.replace("\\", "/").split("/")
    if ABSOLUTE.match(name) or ".." in parts:
        raise UserError(
            f"{where}: the file name '{name}' leaves the images folder; names are relative to it, "
            f"such as '{parts[-1]}', and hold no '..'."
        )


def check_names(names: np.ndarray, source: str) -> None:
    """Refuse file names that leave the images folder, and names that stand twice.

    Args:
        names: (N,) bytes.
        source: the file they come from: in column 1, from line 2 on.
    """
    joined = b"\n".join(names.tolist())
    try:
        joined.decode()
    except UnicodeDecodeError as error:
        line = joined.count(b"\n", 0, error.start) + 2
        raise UserError(
            f"{source}, line {line}, column 1: the file name is not UTF-8; save the file as UTF-8 "
            f"text."
        ) from error
    if any(sign in joined for sign in (b"/", b"\\", b":", b"\0")) or b"" in names:
        for row, name in enumerate(names):
            check_name(name.decode(), f"{source}, line {row + 2}, column 1")
    plain = plain_names(names)
    order = np.argsort(plain, kind="stable")
    twins = np.flatnonzero(plain[order][1:] == plain[order][:-1])
    if len(twins):
        first, second = (int(order[twins[0] + i]) + 2 for i in (0, 1))
        raise UserError(
            f"{source}, line {second}, column 1: the file name "
            f"'{names[order[twins[0]]].decode()}' already stands in line {first}; leave one of "
            f"them out."
        )
