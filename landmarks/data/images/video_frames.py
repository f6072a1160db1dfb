"""The frames of a clip or a camera, one at a time, by OpenCV."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from landmarks.data.images.decoding import silent_opencv
from landmarks.data.reading.folder_walk import ending
from landmarks.errors import UserError

CAMERA = re.compile(r"camera:(\d+)")
CLIP_ENDINGS = tuple(
    ".mp4 .m4v .mov .avi .mkv .webm .wmv .mpg .mpeg .mjpeg .ogv .flv .3gp .ts .mts".split()
)
TRIES = 250  # reads that fail in a row until a clip is taken to have ended
CAMERA_TRIES = 100  # of a camera, with a pause after each
PAUSE = 0.02  # seconds
USUAL_RATE = 25.0  # frames a second, where a clip or a camera does not say

# FFmpeg is to keep to itself what it finds damaged. OpenCV reads this once, at its first clip.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


class Frame(NamedTuple):
    """One frame: its place from 0, its time in seconds, and its image (H, W, 3) uint8 BGR.

    The image is None where the frame is damaged.
    """

    index: int
    time: float
    image: np.ndarray | None


def is_clip(place: Any) -> bool:
    """Say whether `place` names a clip, or a camera as `camera:0`."""
    if not isinstance(place, str):
        return False
    is_named = ending(place) in CLIP_ENDINGS and not Path(place).is_dir()
    return bool(CAMERA.fullmatch(place)) or is_named


class Frames:
    """The frames of a clip or a camera, in order; they are turned as the clip says.

    Args:
        place: a clip's path, or `camera:0`, `camera:1`, ...
        limit: only the first so many frames; None: all.

    Attributes:
        is_camera: whether it ends only when it is stopped.
        rate: frames a second.
        size: width and height.
        count: frames that the clip says it has; None: it does not.
        damaged: frames so far that could not be decoded.
        read: frames so far, damaged ones among them.

    Raises:
        UserError: if it cannot be opened or has no frame.
    """

    def __init__(self, place: str, limit: int | None = None):
        self.place, self.limit = place, limit
        camera = CAMERA.fullmatch(place)
        self.is_camera = camera is not None
        if not self.is_camera and not Path(place).is_file():
            raise UserError(f"input={place}: there is no such clip; correct the path.")
        self.damaged = self.read = 0
        with silent_opencv():
            self.capture = _open(place, camera)
            self.first = self._grab() if self.capture.isOpened() else (None, 0)
        self.began = time.monotonic()
        if self.first[0] is None:
            what = "camera that gives frames" if camera else "clip with frames"
            remedy = "see that no other program uses it" if camera else "convert it to .mp4"
            if ending(place) == ".mp4":
                remedy = "copy or record it again"
            raise UserError(
                f"input={place} is no {what} that OpenCV can read: {remedy}, or name another."
            )
        self.size: tuple[int, int] = self.first[0].shape[1::-1]
        rate = self.capture.get(cv2.CAP_PROP_FPS)
        self.rate: float = rate if 0 < rate < 1000 else USUAL_RATE
        said = self.capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.count = int(said) if 0 < said < 1e9 and not self.is_camera else None
        if self.count and limit:
            self.count = min(self.count, limit)

    def __iter__(self) -> Iterator[Frame]:
        image, failed, before = *self.first, -1 / self.rate
        with silent_opencv():
            while image is not None:
                for _ in range(failed):
                    if self._is_enough():
                        break
                    before += 1 / self.rate
                    self.damaged += 1
                    yield self._next(before, None)
                if self._is_enough():
                    break
                before = self._time(before)
                yield self._next(before, image)
                if self._is_enough():
                    break
                image, failed = self._grab()
        self.capture.release()

    def _is_enough(self) -> bool:
        return self.limit is not None and self.read >= self.limit

    def _next(self, at: float, image: np.ndarray | None) -> Frame:
        self.read += 1
        return Frame(self.read - 1, at, image)

    def _time(self, before: float) -> float:
        """Return the seconds of the frame read last: as the clip says, else by its rate."""
        if self.is_camera:
            return time.monotonic() - self.began
        said = self.capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        return said if before < said < before + 3600 else before + 1 / self.rate

    def _grab(self) -> tuple[np.ndarray | None, int]:
        """Return the next image and how many damaged frames stood before it; None at the end."""
        for failed in range(CAMERA_TRIES if self.is_camera else TRIES):
            done, image = self.capture.read()
            if done and image is not None:
                return image, failed
            if self.is_camera:
                time.sleep(PAUSE)
        return None, 0


def _open(place: str, camera: re.Match | None) -> cv2.VideoCapture:
    if camera:
        return cv2.VideoCapture(int(camera[1]))
    # Others than FFmpeg are asked only where it is not there: they print what they cannot read.
    has_ffmpeg = cv2.CAP_FFMPEG in cv2.videoio_registry.getStreamBackends()
    return cv2.VideoCapture(place, cv2.CAP_FFMPEG if has_ffmpeg else cv2.CAP_ANY)
