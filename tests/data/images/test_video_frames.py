"""Frames of clips: whole ones, damaged ones, cut ones, and what is no clip."""

import cv2
import numpy as np
import pytest

from landmarks.data.images import video_frames as module
from landmarks.data.images.video_frames import Frames, is_clip
from landmarks.errors import UserError


@pytest.fixture
def clip(tmp_path):
    """Write a clip in which each frame is a JPEG of its own, and return its path."""
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (64, 48))
    for i in range(12):
        writer.write(np.full((48, 64, 3), 20 * i, np.uint8))
    writer.release()
    return path


def place_of(data, number):
    """Return where a frame begins in a clip's bytes."""
    at = -1
    for _ in range(number + 2):  # the header has one, too
        at = data.find(b"00dc", at + 1)
    return at


def spoil(path, number):
    data = bytearray(path.read_bytes())
    at = place_of(data, number)
    data[at + 8 : at + 208] = bytes(200)
    path.write_bytes(data)


def test_frames_come_in_order_with_their_times(clip):
    frames = Frames(str(clip))
    assert (frames.size, frames.rate, frames.count) == ((64, 48), 20, 12)
    found = list(frames)
    assert [frame.index for frame in found] == list(range(12))
    assert [frame.time for frame in found] == pytest.approx([i / 20 for i in range(12)])
    assert [round(frame.image.mean() / 20) for frame in found] == list(range(12))
    assert len(list(Frames(str(clip), limit=5))) == 5


def test_a_damaged_frame_is_counted(clip):
    spoil(clip, 3)
    frames = Frames(str(clip))
    found = list(frames)
    assert [frame.image is None for frame in found] == [i == 3 for i in range(12)]
    assert [frame.time for frame in found] == pytest.approx([i / 20 for i in range(12)])
    assert frames.damaged == 1


def test_a_clip_that_was_cut_off_ends_where_it_does(clip):
    data = clip.read_bytes()
    clip.write_bytes(data[: place_of(data, 7)])
    frames = Frames(str(clip))
    assert len(list(frames)) == 7 and frames.count == 12 and frames.damaged == 0


def test_what_is_no_clip_is_one_sentence(tmp_path, capfd):
    (tmp_path / "no.mp4").write_bytes(b"nothing")
    empty = tmp_path / "empty.avi"
    cv2.VideoWriter(str(empty), cv2.VideoWriter.fourcc(*"MJPG"), 20, (64, 48)).release()
    for place in (tmp_path / "no.mp4", empty, tmp_path / "nowhere.mp4", "camera:99"):
        with pytest.raises(UserError, match="input="):
            Frames(str(place))
    assert capfd.readouterr().err == ""


def test_clips_are_known_by_their_names(tmp_path):
    (tmp_path / "folder.mp4").mkdir()
    names = ["a.mp4", "b.MOV", "camera:0", "camera:12"]
    assert all(map(is_clip, names))
    assert not any(map(is_clip, ["a.jpg", "camera:", "camera", None, str(tmp_path / "folder.mp4")]))


class Camera:
    """A camera that misses every third read, and is unplugged after 6 frames."""

    def __init__(self, number):
        self.number, self.reads, self.frames, self.released = number, 0, 0, False

    def isOpened(self):
        return True

    def read(self):
        self.reads += 1
        if self.frames == 6 or self.reads % 3 == 0:
            return False, None
        self.frames += 1
        return True, np.full((48, 64, 3), self.frames, np.uint8)

    def get(self, what):
        return -1.0  # cameras say neither their rate nor a length

    def release(self):
        self.released = True


def test_a_camera_gives_frames_by_the_clock_until_it_is_unplugged(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    monkeypatch.setattr(module, "PAUSE", 0)
    frames = Frames("camera:3")
    assert (frames.is_camera, frames.capture.number, frames.count) == (True, 3, None)
    assert frames.rate == module.USUAL_RATE and frames.size == (64, 48)
    found = [frame for frame in frames if frame.image is not None]
    assert [int(frame.image[0, 0, 0]) for frame in found] == [1, 2, 3, 4, 5, 6]
    times = [frame.time for frame in found]
    assert times == sorted(times) and times[0] >= 0 and times[-1] < 60
    assert frames.capture.released
    assert len([*Frames("camera:0", limit=3)]) == 3
