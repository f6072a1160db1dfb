"""Shifted labels: points that form a good face beside the one in the image.

Ridge regressions learn, from cuts displaced on purpose, to say by how much a cut is displaced, as
in Xiong and De la Torre 2013, "Supervised Descent Method". Another one learns to tell cuts with the
face in their middle from those with the face beside it. A face is judged by its own cut.
"""

from typing import NamedTuple

import numpy as np

from landmarks.health.face_cuts import FEATURES, FaceToCut, FoldedRidge, describe

REACHES = (0.45, 0.2, 0.1)  # of the displacements learned, in face sizes
FAR, NEAR = slice(1), slice(1, None)  # which of them say how far, and whether
SCALING = 0.5  # reach in log scale, as a share of that
CUTS_A_FACE = 5  # cuts a face and reach
CENTRED, BESIDE = 0.03, (0.08, 0.45)  # face sizes: displacements of faces in the middle, and beside
TOLD_SCALING = 0.05  # reach in log scale of both
CUTS_TOLD = 5  # cuts a face of either
PARTS = [  # of a face's cuts: of each reach, and those that tell what is centred
    *(slice(i * CUTS_A_FACE, (i + 1) * CUTS_A_FACE) for i in range(len(REACHES))),
    slice(len(REACHES) * CUTS_A_FACE, None),
]


class Shifts(NamedTuple):
    """What n faces' cuts say of their labels; NaN where unknown.

    far (n, 2): by how much they lie beside the face, x and y in face sizes; near (n, 2): the same,
    exact for small displacements and too little for large ones; centred (n,): 1 for most faces in
    the middle of their cuts, 0 for most beside it.
    """

    far: np.ndarray
    near: np.ndarray
    centred: np.ndarray


class ShiftFinder:
    """Learns from N faces how displaced a cut is, then tells how displaced their labels are.

    Args:
        count: N.
        seed: of the displacements it learns from.
    """

    def __init__(self, count: int, seed: int = 0):
        self.seed, self.learned = seed, 0
        self.reaches = [FoldedRidge(count, 2) for _ in REACHES]
        self.centred = FoldedRidge(count, 1)

    def look(self, rows: np.ndarray, faces: list[FaceToCut]) -> tuple:
        """Return what `learn` takes: rows, features of displaced cuts and their displacements.

        Args:
            rows: (n,) of the data set.
            faces: n, their labels in their images.
        """
        random = np.random.default_rng([self.seed, int(rows[0]) if len(rows) else 0])
        offsets = _draw(random, len(rows))
        features = np.empty((*offsets.shape[:2], FEATURES), np.float32)
        for i, face in enumerate(faces):
            features[i] = describe(np.stack([face.cut(offset) for offset in offsets[i]]))
        return rows, features, offsets

    def learn(self, rows: np.ndarray, features: np.ndarray, offsets: np.ndarray) -> None:
        """Take in what `look` returned."""
        *reaches, told = PARTS
        for ridge, part in zip(self.reaches, reaches, strict=True):
            ridge.learn(rows, features[:, part], offsets[:, part, :2])
        away = np.hypot(offsets[:, told, 0], offsets[:, told, 1])
        self.centred.learn(rows, features[:, told], away < BESIDE[0])
        self.learned += len(rows)

    def solve(self) -> None:
        """End the learning."""
        for ridge in (*self.reaches, self.centred):
            ridge.solve()

    def judge(self, rows: np.ndarray, features: np.ndarray) -> Shifts:
        """Return what the faces' own cuts say, by their features (n, FEATURES)."""
        said = np.stack([ridge.say(rows, features) for ridge in self.reaches])
        return Shifts(said[FAR].mean(0), said[NEAR].mean(0), self.centred.say(rows, features)[:, 0])


def _draw(random: np.random.Generator, count: int) -> np.ndarray:
    """Return displacements (count, cuts a face, 3), in the order of PARTS."""
    reach = np.repeat(REACHES, CUTS_A_FACE)[:, None] * (1, 1, SCALING)
    staged = random.uniform(-1, 1, (count, len(reach), 3)) * reach
    centred = random.uniform(-1, 1, (count, CUTS_TOLD, 3)) * (CENTRED, CENTRED, TOLD_SCALING)
    angles, away, scaled = random.uniform(
        (0, BESIDE[0], -TOLD_SCALING), (2 * np.pi, BESIDE[1], TOLD_SCALING), (count, CUTS_TOLD, 3)
    ).transpose(2, 0, 1)
    beside = np.stack([away * np.cos(angles), away * np.sin(angles), scaled], axis=2)
    return np.concatenate([staged, centred, beside], axis=1)
