"""Noise in few points: labels that form a face, and not quite the one in the image.

Few points vary by themselves as much as noise moves them, so that their shape says little of it. A
ridge regression learns, from cuts by labels with noise added on purpose, to say how far each point
lies beside its place, as in Xiong and De la Torre 2013, "Supervised Descent Method", and which cuts
are such ones at all.
"""

from typing import NamedTuple

import numpy as np

from landmarks.health.face_cuts import Cutter, FoldedRidge, describe_own

MAX_POINTS = 9  # of more points the shape alone finds as much
REACH = 0.05  # face sizes: standard deviation of the noise learned from
CUTS_A_FACE = 12
OWN_WEIGHT = 4  # of a face's own cut beside these
SPACING = 4.0  # px between points; nearer ones turn by their rounding to whole pixels
MIN_CONTOUR = 9  # points of a contour worth looking at


class Beside(NamedTuple):
    """How n faces' k points lie in their pictures.

    offsets (n, 2k): x and y of how far each lies beside its place, in face sizes; what all have in
    common is left to `shifts`. noisy (n,): 0 for cuts such as faces' own, 1 for cuts by labels with
    noise. Both are NaN where a point is not labelled.
    """

    offsets: np.ndarray
    noisy: np.ndarray

    @classmethod
    def unknown(cls, count: int, points: int) -> "Beside":
        """Return it for `count` faces, of which nothing is known yet."""
        return cls(np.full((count, 2 * points), np.nan), np.full(count, np.nan))


class NoiseFinder:
    """Learns from N faces with noise in their labels, then tells how far labels lie beside a face.

    Args:
        count: N.
        cutter: of their k points.
        seed: of the noise it learns from.
    """

    def __init__(self, count: int, cutter: Cutter, seed: int = 0):
        self.cutter, self.seed = cutter, seed
        self.ridge = FoldedRidge(count, 2 * len(cutter.model.chosen) + 1)

    def look(self, rows: np.ndarray, images: list, shapes: np.ndarray) -> tuple:
        """Return what `learn` takes: rows, features of cuts, and what `judge` shall say of them.

        Args:
            rows: (n,) of the data set.
            images: n, see `Cutter.place`.
            shapes: (n, k) complex, their labels.
        """
        random = np.random.default_rng([self.seed, int(rows[0]) if len(rows) else 0])
        whole = np.flatnonzero(np.isfinite(shapes).all(1))
        rows, images, shapes = rows[whole], [images[i] for i in whole], shapes[whole]
        size = np.abs(self.cutter.model.place(shapes)[0])
        noise = random.normal(0, REACH, (*shapes.shape, CUTS_A_FACE, 2)) @ (1, 1j)
        own = describe_own(self.cutter.place(images, shapes))
        unmoved = np.zeros((len(own), 2 * noise.shape[1] + 1))
        features, answers = [own] * OWN_WEIGHT, [unmoved] * OWN_WEIGHT
        for by in np.moveaxis(noise * size[:, None, None], 2, 0):
            faces = self.cutter.place(images, shapes + by)
            features.append(describe_own(faces))
            scale = np.array([face.scale for face in faces]).reshape(-1, 1)
            moved = (by / scale).view(np.float64)
            answers.append(np.column_stack([moved, np.ones(len(moved))]))
        return rows, np.stack(features, 1), np.stack(answers, 1)

    def learn(self, rows: np.ndarray, features: np.ndarray, answers: np.ndarray) -> None:
        """Take in what `look` returned."""
        self.ridge.learn(rows, features, answers)

    def solve(self) -> None:
        """End the learning."""
        self.ridge.solve()

    def judge(self, rows: np.ndarray, features: np.ndarray, shapes: np.ndarray) -> Beside:
        """Return how the points of n faces lie.

        Args:
            features: (n, FEATURES) of the faces' own cuts.
            shapes: (n, k) complex, their labels.
        """
        said = self.ridge.say(rows, features)
        said[~np.isfinite(shapes).all(1)] = np.nan
        points = said[:, :-1].reshape(len(said), -1, 2)
        offsets = points - points.mean(1, keepdims=True)
        return Beside(offsets.reshape(len(said), -1), said[:, -1])


def find_contours(regions: dict, points: np.ndarray) -> list[np.ndarray]:
    """Return the indices of the points of each jaw arc, thinned to `SPACING`.

    Args:
        regions: name -> [first, last], inclusive, as in a layout; those named jaw are looked at.
        points: (n, K, 2), some faces, by which the spacing is found.

    Empty where the layout names no jaw, or its points are too few.
    """
    contours = []
    for name, (first, last) in regions.items():
        if not name.startswith("jaw") or last - first + 1 < MIN_CONTOUR:
            continue
        steps = np.diff(points[:, first : last + 1].astype(np.float64), axis=1)
        lengths = np.hypot(steps[..., 0], steps[..., 1])
        spacing = np.nanmedian(lengths) if np.isfinite(lengths).any() else np.nan
        if spacing > 0:
            step = min(int(np.ceil(SPACING / spacing)), (last - first) // (MIN_CONTOUR - 1))
            contours.append(np.arange(first, last + 1, max(1, step)))
    return contours


def turning_angles(points: np.ndarray, contours: list[np.ndarray]) -> np.ndarray:
    """Return (n,) mean turning angles in degrees along the contours of faces (n, K, 2).

    On the contest's faces, clean jaws have 7 to 23 degrees and jittered ones over 70. NaN where a
    face has no two labelled steps beside each other.
    """
    total, count = np.zeros(len(points)), np.zeros(len(points), int)
    for contour in contours:
        steps = np.diff(points[:, contour].astype(np.float64), axis=1)
        direction = np.arctan2(steps[..., 1], steps[..., 0])
        turns = np.abs((np.diff(direction, axis=1) + np.pi) % (2 * np.pi) - np.pi)
        total += np.nansum(turns, axis=1)
        count += np.isfinite(turns).sum(1)
    return np.where(count > 0, np.degrees(total / np.maximum(count, 1)), np.nan)
