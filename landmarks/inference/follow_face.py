"""Follows one face through the frames of a clip by its own points, and steadies them."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from landmarks.data.crops.boxes import have_size, point_boxes, sides_of
from landmarks.data.faces import Faces
from landmarks.errors import UserError
from landmarks.inference.finder_protocol import Finder, Framing

SPEED_CUTOFF = 1.0  # hertz, of the low-pass filter of the speeds
State = Literal["found", "followed", "lost", "damaged"]  # of a frame
Doubt = Literal["carried", "faint", "outside", "unseen"]  # why what was found is no face
Search = Callable[[np.ndarray], np.ndarray]  # image (H, W, 3) BGR -> boxes (n, 4)
SHIFT = 0.1  # sides of the square that the second look is moved by
CARRIED = 0.5  # share of that shift that the points of a followed face may move by
SURELY = 0.3  # the same of a face that is found anew
FAINT = 0.5  # share of the usual confidence below which a face is lost
LEAP = 0.5  # sides of the face that its middle may move by from one frame to the next
GROWTH = 1.5  # times that it may grow or shrink by
ROUNDS = 2  # looks that move a searched box onto the face
SLOWNESS = 0.95  # of the usual confidence, from one frame to the next
SCALES = (1, 0.7, 0.45)  # of the frame's shorter side: squares in which a face is looked for
BEST = 3  # of them that are looked at again
MOST = 32  # looks that are computed at once
PATIENCE = 10  # frames of a lost face from one search of all squares to the next


class OneEuro:
    """The 1 € filter of points: a low-pass filter whose cutoff grows with each coordinate's speed.

    It looks back only, so that it lags: by 1 / (2 pi cutoff) seconds, 0.16 s at 1 Hz.

    Args:
        cutoff: hertz, of a coordinate that rests. Lower: less jitter.
        beta: hertz more for each face's side a second. Higher: less lag.

    Source: Casiez, Roussel and Vogel, 1 € Filter: A Simple Speed-based Low-pass Filter for Noisy
    Input in Interactive Systems, CHI 2012. Speeds are in sides of the face, so that beta means
    the same for faces of any size.
    """

    def __init__(self, cutoff: float, beta: float):
        self.cutoff, self.beta = cutoff, beta
        self.forget()

    def forget(self) -> None:
        """Begin anew: the next points are taken as they are."""
        self.points: np.ndarray | None = None

    def smooth(self, points: np.ndarray, at: float, side: float) -> np.ndarray:
        """Return points (K, 2) float32, smoothed with those before.

        Args:
            points: (K, 2) in pixels.
            at: their time in seconds, later than that of those before.
            side: of the face in pixels.
        """
        if self.points is None:
            self.points, self.speeds = points.astype(np.float64), np.zeros(points.shape)
        else:
            seconds = at - self.at
            speeds = (points - self.points) / seconds / side
            self.speeds += _share(SPEED_CUTOFF, seconds) * (speeds - self.speeds)
            cutoff = self.cutoff + self.beta * np.abs(self.speeds)
            self.points = self.points + _share(cutoff, seconds) * (points - self.points)
        self.at = at
        return self.points.astype(np.float32)


def _share(cutoff: float | np.ndarray, seconds: float) -> float | np.ndarray:
    """Return the weight of the newest value in a low-pass filter of a cutoff in hertz."""
    step = 2 * math.pi * cutoff * seconds
    return step / (step + 1)


class Sight(NamedTuple):
    """A face in a frame: points (K, 2) in its pixels, certainty (K,), box (4,), and `carried`.

    `carried` says by what share of the second look's shift the points moved with it: near 0 on a
    face, near 1 where a model draws its mean shape wherever it looks.
    """

    points: np.ndarray
    sure: np.ndarray
    box: np.ndarray
    carried: float


class Follower:
    """Finds one face in each frame: about its points in the frame before, or anywhere.

    Every frame is looked at twice at once, the second time a tenth of a side further. The points
    of a face stay; elsewhere they go along. So a loss is seen of any model, whether or not it
    knows its confidence. The points are the mean of both looks.

    A face is lost where the points go along, the confidence falls to half of the usual, the middle
    leaps by half a side, the size changes by half, or the middle leaves the frame.

    Attributes:
        doubts: why places that were searched showed no face, and how often: "carried", the points
            went along; "faint", their confidence is low; "outside", their middle is outside of the
            frame; "unseen", their box has no size, or there was no place to search.

    Args:
        finder: of a model with `places`, see `landmarks.data.crops.expected_face_place`.
        search: finds boxes of faces in a frame, of which the largest is tried first; None: the
            model looks at the whole frame and, at the start and now and then, at squares of it.

    Raises:
        UserError: if the model cannot follow.
    """

    def __init__(self, finder: Finder, search: Search | None = None):
        if finder.places is None:
            raise UserError(
                f"'{finder.description}' was trained before checkpoints kept where the face lies "
                f"in the input, so that it follows no face: train it on with this version "
                f"(init=RUN epochs=1)."
            )
        self.finder, self.search = finder, search
        self.known = np.setdiff1d(np.arange(finder.num_points), finder.unlabelled)
        self.box: np.ndarray | None = None  # of the frame before; None: the face is lost
        self.last: np.ndarray | None = None  # where it was seen last
        self.usual: float | None = None  # confidence
        self.turn = self.waited = 0
        self.doubts: Counter[Doubt] = Counter()

    def look(self, image: np.ndarray) -> tuple[State, Sight | None]:
        """Return what was seen of the face in the next frame (H, W, 3) BGR."""
        if self.box is not None:
            sight = self._see(image, self.box)
            is_face = self._doubt(sight, image, CARRIED) is None
            if is_face and not _has_leapt(self.box, sight.box):
                return "followed", self._keep(sight)
            self.box = None
        found, doubts = [], []
        for box in self._places(image):
            for _ in range(ROUNDS):
                sight = self._see(image, box)
                box = sight.box if _has_size(sight.box) else box
            doubts.append(self._doubt(sight, image, SURELY))
            if doubts[-1] is None:
                found.append(sight)
                if self.search is not None:  # the largest
                    break
        if not found:
            self.doubts.update(doubts or ["unseen"])
            return "lost", None
        self.waited = 0
        return "found", self._keep(min(found, key=lambda sight: sight.carried))

    def _places(self, image: np.ndarray) -> Iterator[np.ndarray]:
        """Yield boxes (4,) where the face may be, the likeliest first."""
        if self.search is not None:
            yield from sorted(filter(_has_size, self.search(image)), key=_size, reverse=True)
        if self.last is not None:
            yield self.last
        if self.search is None:
            if self.finder.config["crop"] != "box":  # else it looks at no whole frame
                yield from filter(_has_size, self._boxes(self._find(image, None)[0]))
            if self.waited % PATIENCE == 0:
                yield from self._search_squares(image)
            self.waited += 1

    def _search_squares(self, image: np.ndarray) -> list[np.ndarray]:
        """Return boxes (4,) onto which squares of a frame fall and where points stay best."""
        places = self.finder.places
        squares = _squares(*image.shape[1::-1])
        sides = squares[:, 2:] - squares[:, :2]
        middles = squares[:, :2] + sides * places["center"]
        half = sides * places["side"] / 2
        boxes = self._boxes(self._find(image, np.hstack([middles - half, middles + half]))[0])
        sights = self._see_all(image, boxes[[_has_size(box) for box in boxes]])
        sights = [sight for sight in sights if _has_size(sight.box)]
        return [sight.box for sight in sorted(sights, key=lambda sight: sight.carried)[:BEST]]

    def _keep(self, sight: Sight) -> Sight:
        self.box = self.last = sight.box
        if self.finder.certainty == "confidence":
            sure = float(sight.sure[self.known].mean())
            before = sure if self.usual is None else self.usual
            self.usual = SLOWNESS * before + (1 - SLOWNESS) * sure
        return sight

    def _doubt(self, sight: Sight, image: np.ndarray, most: float) -> Doubt | None:
        """Return why what was seen is no face; None: it is one."""
        if not _has_size(sight.box):
            return "unseen"
        if not sight.carried < most:
            return "carried"
        middle, size = (sight.box[:2] + sight.box[2:]) / 2, image.shape[1::-1]
        if not ((middle > 0) & (middle < size)).all():
            return "outside"
        if self.usual is None or sight.sure[self.known].mean() > FAINT * self.usual:
            return None
        return "faint"

    def _see(self, image: np.ndarray, box: np.ndarray) -> Sight:
        return self._see_all(image, box[None])[0]

    def _see_all(self, image: np.ndarray, boxes: np.ndarray) -> list[Sight]:
        """Look twice about boxes (n, 4), the second time moved into one of four directions."""
        if not len(boxes):
            return []
        self.turn += 1
        sides = np.array([_size(box) for box in boxes]) / self.finder.places["side"]
        signs = np.array([1 - 2 * (self.turn % 2), 1 - 2 * (self.turn // 2 % 2)])
        moved = SHIFT * sides[:, None] / np.sqrt(2) * np.tile(signs, 2)
        points, sure = self._find(image, np.concatenate([boxes, boxes + moved]))
        (first, second), (one, other) = (np.split(values, 2) for values in (points, sure))
        gone = np.linalg.norm((second - first)[:, self.known], axis=2)
        carried = np.median(gone, axis=1) / (SHIFT * sides)
        points, sure = (first + second) / 2, (one + other) / 2
        return list(map(Sight, points, sure, self._boxes(points), carried.tolist()))

    def _boxes(self, points: np.ndarray) -> np.ndarray:
        return point_boxes(points[:, self.known])

    def _find(self, image: np.ndarray, boxes: np.ndarray | None) -> tuple:
        """Return points (n, K, 2) and certainty about boxes (n, 4), or of the whole frame."""
        count = 1 if boxes is None else len(boxes)
        faces = Faces(
            Path(),
            np.array([b"frame"] * count),
            source="the frame",
            boxes=None if boxes is None else np.float32(boxes),
            exif=self.finder.exif,
            pixels=[image] * count,
        )
        framing = Framing(batch_size=min(count, MOST), detected=boxes is not None, workers=0)
        stream = self.finder.predict(self.finder.batches(faces, framing))
        found = [(points, sure) for _, points, sure in stream]
        points, sure = (np.concatenate(values) for values in zip(*found, strict=True))
        return points, sure


def _squares(width: int, height: int) -> np.ndarray:
    """Return squares (n, 4) that cover a frame at several scales, neighbours by half."""
    found = []
    for scale in SCALES:
        side = scale * min(width, height)
        across, down = (
            np.linspace(0, length - side, 1 + round(2 * (length - side) / side))
            for length in (width, height)
        )
        corners = np.stack(np.meshgrid(across, down), -1).reshape(-1, 2) - 0.5
        found.append(np.hstack([corners, corners + side]))
    return np.concatenate(found)


def _size(box: np.ndarray) -> float:
    return float(sides_of(np.asarray(box, np.float64)[None])[0])


def _has_size(box: np.ndarray) -> bool:
    return bool(np.isfinite(box).all() and have_size(box[None]).all() and _size(box) > 1)


def _way(before: np.ndarray, now: np.ndarray) -> float:
    """Return how far a box's middle has moved, in its sides."""
    return np.linalg.norm((now[:2] + now[2:] - before[:2] - before[2:]) / 2) / _size(before)


def _has_leapt(before: np.ndarray, now: np.ndarray) -> bool:
    growth = _size(now) / _size(before)
    return _way(before, now) > LEAP or not 1 / GROWTH < growth < GROWTH
