"""What every reader of faces is asked, whatever its format."""

from dataclasses import dataclass
from typing import Literal

from landmarks.data.faces import CacheName, Excluded, ExifName, OnError
from landmarks.data.reading.pixels_or_fractions import MissingName
from landmarks.settings import PositiveInt

OccludedName = Literal["train", "mask"]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Which faces are wanted, and what becomes of them.

    Args:
        part: the training faces, or the test faces.
        cache_dir: where labels are kept in binary; None: the user's cache folder.
        limit: only so many faces, the first ones; None: all.
        on_error: "stop" at unreadable images with their list, or "skip" them and say how many.
        cache: see `Faces`.
        exclude: training faces to leave out, see `landmarks.data.exclude.read_names`; test faces
            are all wanted, whatever it names.
    """

    part: Literal["train", "test"] = "train"
    cache_dir: str | None = None
    limit: PositiveInt | None = None
    on_error: OnError = "stop"
    cache: CacheName = "auto"
    exclude: Excluded = None


@dataclass(frozen=True, kw_only=True)
class FileReading(Reading):
    """`Reading` of files that others have made.

    Args:
        missing: see `landmarks.data.reading.pixels_or_fractions.Doubts`.
        exif: see `Faces`.
        occluded: "train" takes occluded points as labels like others, "mask" leaves them
            unlabelled, where the labels say which these are.
    """

    missing: MissingName = None
    exif: ExifName = "rotate"
    occluded: OccludedName = "train"


@dataclass(frozen=True, kw_only=True)
class StoredReading(FileReading):
    """`FileReading` of files whose points refer to photos as they are stored."""

    exif: ExifName = "ignore"
