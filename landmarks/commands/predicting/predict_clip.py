"""`landmarks predict input=CLIP`: a face followed through a clip -> points a frame, and a clip."""

import logging
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from tqdm import tqdm

from landmarks.commands.predicting.predict_settings import PredictSettings
from landmarks.data.crops.boxes import sides_of
from landmarks.data.crops.face_detector import WHERE
from landmarks.data.images.video_frames import Frame, Frames
from landmarks.errors import UserError, say_count
from landmarks.inference.finder_protocol import Finder
from landmarks.inference.follow_face import Follower, OneEuro, State
from landmarks.inference.open_detector import open_detector
from landmarks.outputs.clip_files import AnnotatedClip, FrameFile

log = logging.getLogger(__name__)
WHERE_SMALL = "; where the face is small in the frame, set faces=detect detector=FILE"


def predict_clip(settings: PredictSettings, finder: Finder) -> int:
    """Follow a face through a clip or before a camera; return the exit code.

    Raises:
        UserError: if there is no such clip, it has no frames, or the model cannot follow.
    """
    if settings.faces not in ("whole", "detect"):
        raise UserError(
            f"faces={settings.faces}: boxes of a file are those of photos; in a clip a face is "
            f"looked for in the whole frame (faces=whole) or by a detector (faces=detect)."
        )
    if settings.format not in ("csv", "npz"):
        raise UserError(f"format={settings.format} is of photos; of a clip there are csv and npz.")
    if settings.faces == "detect" and settings.detector is None:
        raise UserError(f"faces=detect needs detector=FILE: {WHERE}, or a keypoint_rcnn's run.")
    search = None
    if settings.detector is not None:
        search = open_detector(Path(settings.detector), settings.device)
    follower = Follower(finder, search)
    frames = Frames(settings.input, settings.data["limit"])
    out, states = Path(settings.run_dir), Counter()
    written = FrameFile(
        out,
        finder.num_points,
        rounded=bool(settings.round),
        npz=settings.npz or settings.format == "npz",
        unlabelled=finder.unlabelled,
        certainty=finder.certainty,
        columns=settings.confidence,
        point_names=finder.layout.names,
    )
    bar = tqdm(total=frames.count, desc="predicting", unit="frame", disable=None)
    with ExitStack() as stack:
        stack.enter_context(bar)
        stack.enter_context(written)
        drawn = None
        if settings.annotate:
            drawn = stack.enter_context(AnnotatedClip(out, frames.rate, frames.size))
        step = _Step(settings, follower, written, drawn)
        try:
            for frame in frames:
                states[step.take(frame)] += 1
                bar.update()
        except KeyboardInterrupt:
            if not frames.is_camera:  # a camera has no other end
                raise
    _say(settings, frames, states, out)
    if follower.doubts and not states["followed"] + states["found"]:
        log.warning(_say_why(follower))
    return 0


class _Step:
    """What is done with each frame."""

    def __init__(self, settings, follower: Follower, written: FrameFile, drawn):
        self.follower, self.written, self.drawn = follower, written, drawn
        self.unlabelled = follower.finder.unlabelled
        self.filter = None
        if settings.smooth == "one_euro":
            self.filter = OneEuro(settings.smooth_cutoff, settings.smooth_beta)

    def take(self, frame: Frame) -> State:
        """Look for the face, write and draw what was found; return the frame's state."""
        state, sight = "damaged", None
        if frame.image is not None:
            state, sight = self.follower.look(frame.image)
        points = None if sight is None else sight.points
        if self.filter is not None and state in ("lost", "found"):
            self.filter.forget()
        if self.filter is not None and sight is not None:
            side = float(sides_of(sight.box[None])[0])
            points = self.filter.smooth(points, frame.time, side)
        self.written.add(frame.time, state, points, None if sight is None else sight.sure)
        if self.drawn is not None:
            if points is not None:
                points = points.copy()
                points[self.unlabelled] = float("nan")
            self.drawn.add(frame.image, points, state if points is None else "")
        return state


def _say(settings: PredictSettings, frames: Frames, states: Counter, out: Path) -> None:
    seen = states["followed"] + states["found"]
    log.info(
        f"{say_count(frames.read, 'frame')}, a face in {seen} of them (looked for and found "
        f"{say_count(states['found'], 'time')}, not found in {states['lost']}): "
        f"{out / 'predictions.csv'}"
    )
    if frames.damaged:
        log.warning(f"{say_count(frames.damaged, 'damaged frame')}: their rows are empty.")
    missing = (frames.count or 0) - frames.read
    if missing > 0:
        log.warning(
            f"{frames.place} says that it has {frames.count} frames, and its last {missing} could "
            f"not be read: it may have been cut off."
        )
    if seen and settings.smooth == "one_euro":
        log.info("Smoothed points lag behind: docs/video.md says by how much.")


def _say_why(follower: Follower) -> str:
    """Say why no frame was given a face, and what to do."""
    if follower.search is not None and set(follower.doubts) <= {"unseen"}:
        return "The detector found no face in any frame: name another one, or use faces=whole."
    where = "" if follower.search is not None else WHERE_SMALL
    if follower.doubts.most_common(1)[0][0] == "carried":
        return (
            f"No frame was given a face: the shapes that {follower.finder.description} finds are "
            f"implausible, as they go along with the square that is looked at instead of staying "
            f"on a face. Train it further if photos of the clip are predicted badly too{where}."
        )
    return (
        f"No frame was given a face: the points that {follower.finder.description} finds lie "
        f"outside of the frame, or on one spot. Train it further if photos of the clip are "
        f"predicted badly too{where}."
    )
