"""Faces cut out of their images by their labels, bent to one shape; regressions on such cuts."""

from dataclasses import dataclass

import cv2
import numpy as np

from landmarks.geometry import MAX_SIDE
from landmarks.health.shape_model import ShapeModel

SIZE, CELLS, ORIENTATIONS = 64, 8, 8  # pixels of a cut; cells a side; directions
GRIDS = (64, 40)  # pixels that the cells cover: all of the cut, and its middle in finer cells
FEATURES = len(GRIDS) * CELLS**2 * ORIENTATIONS + 1  # with a constant
CUT_SIDE = 1.8  # side of a cut in face sizes
MAX_BENT = 40  # points that a cut is bent by
BEND_REACH = 0.25  # face sizes: how far a point bends the cut around it
STIFFNESS = 0.05  # of the cut; 0 would bend it to each point's place exactly
GRID = (np.arange(SIZE) - (SIZE - 1) / 2) * CUT_SIDE / SIZE  # face sizes
PLACES = GRID + 1j * GRID[:, None]  # of a cut's pixels, in the reference shape's frame
FOLDS = 5
RIDGE = 1e-3  # of the mean variance, or more where there are few cuts to learn from
ENOUGH_CUTS = 30000


class Bender:
    """Bends cuts by how k points lie from those of the mean shape (k,), complex.

    A sum of Gaussians about some of the points, smoothed.
    """

    def __init__(self, mean: np.ndarray):
        self.points = np.unique(np.linspace(0, len(mean) - 1, MAX_BENT).astype(int))
        centres = mean[self.points]

        def near(places: np.ndarray) -> np.ndarray:
            return np.exp(-0.5 * (np.abs(places.reshape(-1, 1) - centres) / BEND_REACH) ** 2)

        stiff = near(centres) + STIFFNESS * np.eye(len(centres))
        self.shares = np.linalg.solve(stiff, near(PLACES).T).astype(np.float32)  # (points, pixels)

    def bend(self, away: np.ndarray) -> np.ndarray:
        """Return (n, SIZE, SIZE) complex64: where the pixels of cuts lie in the reference frame.

        Args:
            away: (n, k) complex64, of aligned shapes from the mean one, without gaps.
        """
        return (away[:, self.points] @ self.shares).reshape(-1, SIZE, SIZE) + PLACES


@dataclass(frozen=True, eq=False)
class FaceToCut:
    """One face in its image.

    Args:
        image: (H, W) uint8, grey.
        reduced: by how much it is smaller than the original.
        scale, shift: a reference shape z lies at scale z + shift in the original.
        places: (SIZE, SIZE) complex, see `Bender.bend`.
    """

    image: np.ndarray
    reduced: int
    scale: complex
    shift: complex
    places: np.ndarray

    def cut(self, offset: np.ndarray) -> np.ndarray:
        """Return the cut (SIZE, SIZE) uint8 displaced by (3,): x, y in face sizes, log scale."""
        step = self.scale * np.exp(offset[2])
        start = self.scale * complex(offset[0], offset[1]) + self.shift
        pixels = (self.places * step + start + 0.5 + 0.5j) / self.reduced - 0.5 - 0.5j
        x, y = pixels.real.astype(np.float32), pixels.imag.astype(np.float32)
        image = self.image
        if max(image.shape) > MAX_SIDE:
            left, top = (
                int(np.clip(np.floor(of.min()) - 1, 0, side - 1))
                for of, side in zip((x, y), image.shape[::-1], strict=True)
            )
            image = image[top:, left:][:MAX_SIDE, :MAX_SIDE]
            x, y = x - left, y - top
        return cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


class Cutter:
    """Cuts out faces by a shape model of their k points."""

    def __init__(self, model: ShapeModel):
        self.model, self.bender = model, Bender(model.mean)

    def place(self, images: list[tuple[np.ndarray, int]], shapes: np.ndarray) -> list[FaceToCut]:
        """Return n faces to cut.

        Args:
            images: grey (H, W) uint8, and by how much each is smaller than its original.
            shapes: (n, k) complex, labels in the originals; missing points are completed.
        """
        scale, shift, offsets, _ = self.model.place(shapes)
        places = self.bender.bend((offsets + self.model.centre).view(np.complex64))
        placed = zip(images, scale, shift, places, strict=True)
        return [FaceToCut(*image, *rest) for image, *rest in placed]


def describe_own(faces: list[FaceToCut]) -> np.ndarray:
    """Return the features (n, FEATURES) of n faces' own cuts, displaced by nothing."""
    cuts = [face.cut(np.zeros(3)) for face in faces]
    return np.concatenate([np.empty((0, FEATURES), np.float32), *(describe(c[None]) for c in cuts)])


def describe(cuts: np.ndarray) -> np.ndarray:
    """Return features (n, FEATURES) float32 of grey cuts (n, SIZE, SIZE) uint8: histograms of
    oriented gradients (Dalal and Triggs 2005)."""
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


class FoldedRidge:
    """One regression for each fold of N faces, learned from the other folds.

    Args:
        count: N.
        answers: m, the numbers that a cut is asked for.

    What it keeps does not grow with N: sums of products.
    """

    def __init__(self, count: int, answers: int):
        self.count = count
        self.products = np.zeros((FOLDS, FEATURES, FEATURES))
        self.answers = np.zeros((FOLDS, FEATURES, answers))
        self.weights = np.zeros((FOLDS, FEATURES, answers), np.float32)

    def learn(self, rows: np.ndarray, features: np.ndarray, answers: np.ndarray) -> None:
        """Take in c cuts of each face.

        Args:
            rows: (n,) of the data set.
            features: (n, c, FEATURES).
            answers: (n, c, m), what is to be said of them.
        """
        folds = self._fold(rows)
        for fold in np.unique(folds):
            seen = features[folds == fold].reshape(-1, FEATURES)
            asked = answers[folds == fold].reshape(len(seen), -1)
            self.products[fold] += seen.T @ seen
            self.answers[fold] += seen.T @ asked.astype(np.float32)

    def solve(self) -> None:
        """End the learning."""
        for fold in range(FOLDS):
            products = self.products.sum(0) - self.products[fold]
            answers = self.answers.sum(0) - self.answers[fold]
            count = products[-1, -1]  # of the constant feature
            ridge = RIDGE * max(1.0, ENOUGH_CUTS / count) * np.trace(products) / FEATURES + 1e-9
            self.weights[fold] = np.linalg.solve(products + ridge * np.eye(FEATURES), answers)

    def say(self, rows: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Return the answers (n, m) of cuts' features (n, FEATURES), one of each face `rows`."""
        return np.einsum("nf,nfd->nd", features, self.weights[self._fold(rows)])

    def _fold(self, rows: np.ndarray) -> np.ndarray:
        # In blocks: neighbouring faces often show one person.
        return rows * FOLDS // max(self.count, 1)
