"""Ridge regressions on the features of cuts, by which no face judges itself."""

import numpy as np

from landmarks.health.face_cuts import FEATURES

FOLDS = 5
RIDGE = 1e-3  # of the mean variance, or more where there are few cuts to learn from
ENOUGH_CUTS = 30000


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
