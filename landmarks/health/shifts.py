"""Shifted labels: points that form a good face beside the one in the image.

Each face is cut out of its image by its own labels. A ridge regression on histograms of oriented
gradients (Dalal and Triggs 2005) learns, from cuts displaced on purpose, to say by how much a cut
is displaced (as in Xiong and De la Torre 2013, "Supervised Descent Method"). Faces whose own cut
seems displaced are suspects. A face is judged by a regression that has not seen it: there is one
for each fold.
"""

import cv2
import numpy as np

from landmarks.geometry import MAX_SIDE

SIZE, CELL, ORIENTATIONS = 64, 8, 8  # pixels of a cut, of a cell; directions
FEATURES = (SIZE // CELL) ** 2 * ORIENTATIONS + 1  # with a constant
CUT_SIDE = 1.8  # side of a cut in face sizes
STAGES = (0.45, 0.2, 0.1)  # reach of the displacements learned, in face sizes: coarse to fine
SCALING = 0.5  # reach in log scale, as a share of that
LAST_STAGE = -1  # the stage after the last one
CUTS_A_FACE = 3  # cuts a face and stage
FOLDS = 5
RIDGE = 1e-3  # of the mean variance
CUTS_AT_ONCE = 8  # cuts described at once: their gradients are large


def describe(cuts: np.ndarray) -> np.ndarray:
    """Return features (n, FEATURES) float32 of grey cuts (n, SIZE, SIZE) uint8."""
    grey = cuts.astype(np.float32)
    across = np.zeros_like(grey)
    down = np.zeros_like(grey)
    across[:, :, 1:-1] = grey[:, :, 2:] - grey[:, :, :-2]
    down[:, 1:-1] = grey[:, 2:] - grey[:, :-2]
    side = SIZE // CELL
    features = np.empty((len(cuts), side, side, ORIENTATIONS), np.float32)
    for i in range(ORIENTATIONS):
        angle = 2 * np.pi * i / ORIENTATIONS
        along = np.maximum(np.float32(np.cos(angle)) * across + np.float32(np.sin(angle)) * down, 0)
        features[..., i] = along.reshape(-1, side, CELL, side, CELL).mean((2, 4))
    # Each cell against its surroundings: light and contrast differ over an image.
    energy = np.square(features).sum(3)
    around = np.stack([cv2.blur(face, (3, 3)) for face in energy])
    features /= np.sqrt(around + 4.0)[..., None]
    flat = np.sqrt(features).reshape(len(cuts), -1)
    return np.concatenate([flat, np.ones((len(cuts), 1), np.float32)], axis=1)


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

    What it keeps does not grow with N: sums of products, one for each stage and fold.
    """

    def __init__(self, count: int, seed: int = 0):
        self.seed, self.count, self.learned = seed, count, 0
        self.products = np.zeros((len(STAGES), FOLDS, FEATURES, FEATURES), np.float64)
        self.answers = np.zeros((len(STAGES), FOLDS, FEATURES, 3))
        self.weights = np.zeros((len(STAGES), FOLDS, FEATURES, 3), np.float32)
        self.centred = np.zeros((FOLDS, FEATURES), np.float32)

    def look(self, rows: np.ndarray, images: list, scales: np.ndarray, shifts: np.ndarray) -> tuple:
        """Return what `learn` takes: rows, features of displaced cuts and their displacements.

        Args:
            rows: (n,) of the data set.
            images: n pairs of a grey image and its reduction, see `health.images.Reader`.
            scales, shifts: (n,) complex, see `cut_matrix`.
        """
        count = len(STAGES) * CUTS_A_FACE
        random = np.random.default_rng([self.seed, int(rows[0]) if len(rows) else 0])
        reach = np.repeat(STAGES, CUTS_A_FACE)[:, None] * (1, 1, SCALING)
        offsets = random.uniform(-1, 1, (len(rows), count, 3)) * reach
        features = np.empty((len(rows), count, FEATURES), np.float32)
        for i, (image, reduced) in enumerate(images):
            matrices = [cut_matrix(scales[i], shifts[i], offset, reduced) for offset in offsets[i]]
            features[i] = describe(np.stack([_cut(image, matrix) for matrix in matrices]))
        return rows, features, offsets

    def learn(self, rows: np.ndarray, features: np.ndarray, offsets: np.ndarray) -> None:
        """Take in what `look` returned."""
        folds = self._fold(rows)
        for fold in np.unique(folds):
            for stage in range(len(STAGES)):
                part = slice(stage * CUTS_A_FACE, (stage + 1) * CUTS_A_FACE)
                seen = features[folds == fold, part].reshape(-1, FEATURES)
                asked = offsets[folds == fold, part].reshape(-1, 3)
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
        # A classifier as well: is a cut of the finest stage (1) or of the coarsest one (0)? The
        # constant feature's products are the sums of the others.
        for fold in range(FOLDS):
            coarse, fine = (self.products[i].sum(0) - self.products[i, fold] for i in (0, -1))
            self.centred[fold] = _solve(coarse + fine, fine[:, -1])

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
    ridge = RIDGE * np.trace(products) / FEATURES + 1e-9
    return np.linalg.solve(products + ridge * np.eye(FEATURES), answers)
