"""Shifted labels: points that form a good face beside the one in the image.

Each face is cut out of its image by its own labels. A ridge regression on histograms of oriented
gradients (Dalal and Triggs 2005) learns, from cuts displaced on purpose, to say by how much a cut
is displaced (as in Xiong and De la Torre 2013, "Supervised Descent Method"). Faces whose own cut
seems displaced are suspects, if the place found looks more like a face in its middle, to a second
regression that has learned to tell such cuts from those a little beside. A face is judged by
regressions that have not seen it: there is one for each fold.
"""

import cv2
import numpy as np

from landmarks.geometry import MAX_SIDE

SIZE, CELLS, ORIENTATIONS = 64, 8, 8  # pixels of a cut; cells a side; directions
GRIDS = (64, 40)  # pixels that the cells cover: all of the cut, and its middle in finer cells
FEATURES = len(GRIDS) * CELLS**2 * ORIENTATIONS + 1  # with a constant
CUT_SIDE = 1.8  # side of a cut in face sizes
STAGES = (0.45, 0.2, 0.1)  # reach of the displacements learned, in face sizes: coarse to fine
SCALING = 0.5  # reach in log scale, as a share of that
LAST_STAGE = -1  # the stage after the last one
CUTS_A_FACE = 5  # cuts a face and stage
CENTRED, BESIDE = 0.03, (0.08, 0.2)  # face sizes: displacements of faces in the middle, and beside
TOLD_SCALING = 0.05  # reach in log scale of both
CUTS_TOLD = 5  # cuts a face of either
PARTS = [  # of a face's cuts: of each stage, and those that tell what is centred
    *(slice(i * CUTS_A_FACE, (i + 1) * CUTS_A_FACE) for i in range(len(STAGES))),
    slice(len(STAGES) * CUTS_A_FACE, None),
]
FOLDS = 5
RIDGE = 1e-3  # of the mean variance, or more where there are few cuts to learn from
ENOUGH_CUTS = 30000
CUTS_AT_ONCE = 8  # cuts described at once: their gradients are large


def describe(cuts: np.ndarray) -> np.ndarray:
    """Return features (n, FEATURES) float32 of grey cuts (n, SIZE, SIZE) uint8."""
    grey = cuts.astype(np.float32)
    across = np.zeros_like(grey)
    down = np.zeros_like(grey)
    across[:, :, 1:-1] = grey[:, :, 2:] - grey[:, :, :-2]
    down[:, 1:-1] = grey[:, 2:] - grey[:, :-2]
    features = np.empty((len(GRIDS), len(cuts), CELLS, CELLS, ORIENTATIONS), np.float32)
    for i in range(ORIENTATIONS):
        angle = 2 * np.pi * i / ORIENTATIONS
        along = np.maximum(np.float32(np.cos(angle)) * across + np.float32(np.sin(angle)) * down, 0)
        for grid, pixels in enumerate(GRIDS):
            low, cell = (SIZE - pixels) // 2, pixels // CELLS
            part = along[:, low : low + pixels, low : low + pixels]
            features[grid, ..., i] = part.reshape(-1, CELLS, cell, CELLS, cell).mean((2, 4))
    # Each cell against its surroundings: light and contrast differ over an image.
    energy = np.square(features).sum(4)
    around = np.stack([[cv2.blur(face, (3, 3)) for face in grid] for grid in energy])
    features /= np.sqrt(around + 4.0)[..., None]
    flat = np.sqrt(features).reshape(len(GRIDS), len(cuts), -1)
    return np.concatenate([*flat, np.ones((len(cuts), 1), np.float32)], axis=1)


def cut_matrix(scale: complex, shift: complex, offset: np.ndarray, reduced: int) -> np.ndarray:
    """Return the (2, 3) matrix from a cut's pixels to those of an image `reduced` times smaller.

    Args:
        scale, shift: where the reference shape lies in the image, see `shape_model.Fit`.
        offset: (3,) displacement of the cut: x, y in face sizes, log scale.
    """
    centre = scale * complex(offset[0], offset[1]) + shift
    step = scale * np.exp(offset[2]) * CUT_SIDE / SIZE
    middle = (SIZE - 1) / 2
    start = centre - step * complex(middle, middle)
    matrix = np.array([[step.real, -step.imag, start.real], [step.imag, step.real, start.imag]])
    matrix[:, 2] = (matrix[:, 2] + 0.5) / reduced - 0.5
    matrix[:, :2] /= reduced
    return matrix


class ShiftFinder:
    """Learns from N faces how displaced a cut is, then tells how displaced their labels are.

    Args:
        count: N.
        seed: of the displacements it learns from.

    What it keeps does not grow with N: sums of products, for each fold of each stage and, last, of
    the cuts that tell what is centred.
    """

    def __init__(self, count: int, seed: int = 0):
        self.seed, self.count, self.learned = seed, count, 0
        self.products = np.zeros((len(STAGES) + 1, FOLDS, FEATURES, FEATURES), np.float64)
        self.answers = np.zeros((len(STAGES) + 1, FOLDS, FEATURES, 3))
        self.weights = np.zeros((len(STAGES), FOLDS, FEATURES, 3), np.float32)
        self.centred = np.zeros((FOLDS, FEATURES), np.float32)

    def look(self, rows: np.ndarray, images: list, scales: np.ndarray, shifts: np.ndarray) -> tuple:
        """Return what `learn` takes: rows, features of displaced cuts and their displacements.

        Args:
            rows: (n,) of the data set.
            images: n pairs of a grey image and its reduction, see `health.images.Reader`.
            scales, shifts: (n,) complex, see `cut_matrix`.
        """
        random = np.random.default_rng([self.seed, int(rows[0]) if len(rows) else 0])
        offsets = _draw(random, len(rows))
        features = np.empty((*offsets.shape[:2], FEATURES), np.float32)
        for i, (image, reduced) in enumerate(images):
            matrices = [cut_matrix(scales[i], shifts[i], offset, reduced) for offset in offsets[i]]
            features[i] = describe(np.stack([_cut(image, matrix) for matrix in matrices]))
        return rows, features, offsets

    def learn(self, rows: np.ndarray, features: np.ndarray, offsets: np.ndarray) -> None:
        """Take in what `look` returned."""
        folds = self._fold(rows)
        for fold in np.unique(folds):
            for stage, part in enumerate(PARTS):
                seen = features[folds == fold, part].reshape(-1, FEATURES)
                asked = offsets[folds == fold, part].reshape(-1, 3)
                if stage == len(STAGES):  # 1 in the middle, 0 beside
                    asked = np.hypot(asked[:, :1], asked[:, 1:2]) < BESIDE[0]
                self.products[stage, fold] += seen.T @ seen
                self.answers[stage, fold] += seen.T @ asked.astype(np.float32)
        self.learned += len(rows)

    def solve(self) -> None:
        """End the learning: each fold's regressions are those of the other folds."""
        for stage in range(len(STAGES)):
            for fold in range(FOLDS):
                products = self.products[stage].sum(0) - self.products[stage, fold]
                answers = self.answers[stage].sum(0) - self.answers[stage, fold]
                self.weights[stage, fold] = _solve(products, answers)
        for fold in range(FOLDS):
            told = (sums[-1].sum(0) - sums[-1, fold] for sums in (self.products, self.answers))
            self.centred[fold] = _solve(*told)[:, 0]

    def judge(self, rows: np.ndarray, images: list, scales: np.ndarray, shifts: np.ndarray):
        """Return (n, 3), by how much each face's labels lie off: x, y in face sizes, log scale; and
        (n,), how much more the cut moved by as much looks like a face than the labels' own.

        Arguments as for `look`.
        """
        folds = self._fold(rows)
        found, gain = np.zeros((len(rows), 3)), np.zeros(len(rows))
        for stage in (*range(len(STAGES)), len(STAGES) - 1, LAST_STAGE):
            for start in range(0, len(rows), CUTS_AT_ONCE):
                part = range(start, min(start + CUTS_AT_ONCE, len(rows)))
                cuts = np.stack(
                    [
                        _cut(images[i][0], cut_matrix(scales[i], shifts[i], found[i], images[i][1]))
                        for i in part
                    ]
                )
                features = describe(cuts)
                face = (features * self.centred[folds[part]]).sum(1)
                if stage == LAST_STAGE:
                    gain[part] += face
                    continue
                if stage == 0:
                    gain[part] -= face
                step = np.einsum("nf,nfd->nd", features, self.weights[stage, folds[part]])
                # A step is a share of the cut's own size.
                found[part, :2] -= step[:, :2] * np.exp(found[part, 2:])
                found[part, 2] -= step[:, 2]
                np.clip(found, -1, 1, out=found)
        return -found, gain

    def _fold(self, rows: np.ndarray) -> np.ndarray:
        # In blocks: neighbouring faces often show one person.
        return rows * FOLDS // max(self.count, 1)


def _draw(random: np.random.Generator, count: int) -> np.ndarray:
    """Return displacements (count, cuts a face, 3), in the order of PARTS."""
    reach = np.repeat(STAGES, CUTS_A_FACE)[:, None] * (1, 1, SCALING)
    staged = random.uniform(-1, 1, (count, len(reach), 3)) * reach
    centred = random.uniform(-1, 1, (count, CUTS_TOLD, 3)) * (CENTRED, CENTRED, TOLD_SCALING)
    angles, away, scaled = random.uniform(
        (0, BESIDE[0], -TOLD_SCALING), (2 * np.pi, BESIDE[1], TOLD_SCALING), (count, CUTS_TOLD, 3)
    ).transpose(2, 0, 1)
    beside = np.stack([away * np.cos(angles), away * np.sin(angles), scaled], axis=2)
    return np.concatenate([staged, centred, beside], axis=1)


def _cut(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    if max(image.shape) > MAX_SIDE:
        low = matrix[:, 2] + np.minimum(matrix[:, :2] * SIZE, 0).sum(1) - 1
        corner = low.clip(0, np.array(image.shape[::-1]) - 1).astype(int)
        image = image[corner[1] :, corner[0] :][:MAX_SIDE, :MAX_SIDE]
        matrix = matrix.copy()
        matrix[:, 2] -= corner
    return cv2.warpAffine(
        image,
        matrix,
        (SIZE, SIZE),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _solve(products: np.ndarray, answers: np.ndarray) -> np.ndarray:
    count = products[-1, -1]  # of the constant feature
    ridge = RIDGE * max(1.0, ENOUGH_CUTS / count) * np.trace(products) / FEATURES + 1e-9
    return np.linalg.solve(products + ridge * np.eye(FEATURES), answers)
