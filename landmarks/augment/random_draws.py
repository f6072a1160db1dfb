"""Random numbers of a batch, on the host, from the seed and the step alone."""

import math

import numpy as np


class Draw:
    """Random numbers for a batch, one a face. Their order is part of what a seed means."""

    def __init__(self, count: int, seed: int, step: int):
        self.random, self.count = np.random.default_rng([seed, step]), count

    def uniform(self, low: float, high: float) -> np.ndarray:
        """Return (B,) uniform in low..high."""
        return self.random.uniform(low, high, self.count)

    def chosen(self, probability: float) -> np.ndarray:
        """Return (B,), 1.0 with this probability, else 0.0."""
        return (self.uniform(0, 1) < probability).astype(np.float64)

    def factor(self, strength: float) -> np.ndarray:
        """Return (B,) between 1 / (1 + strength) and 1 + strength, uniform in the logarithm."""
        return np.exp(self.uniform(-1, 1) * math.log1p(strength))

    def places(
        self, chosen: np.ndarray, strength: float, side: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return where and how strongly faces are changed, the chosen ones first.

        Returns:
            (B, 3) the face, and y and x of a place in `side`; (B, 1) strengths up to `strength`, 0
            for faces that are not chosen. Nothing is drawn where none is.
        """
        places = np.zeros((self.count, 3))
        places[:, 0] = order = np.argsort(1 - chosen, kind="stable")
        if not chosen.any():
            return places, np.zeros((self.count, 1))
        corners = np.stack([self.uniform(0, side), self.uniform(0, side)], 1).astype(np.int64)
        places[:, 1:] = corners[order]
        return places, (self.uniform(0, strength) * chosen)[order, None]

    def rectangles(
        self, probability: float, largest: float, side: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (B, 4) rectangles within a square of `side` pixels and (B, 3) colours."""
        taken = self.chosen(probability)
        half = np.stack([self.uniform(0.05, 0.5) * largest * side for _ in range(2)], 1)
        middle = np.stack([self.uniform(0, side) for _ in range(2)], 1)
        boxes = np.concatenate([middle - half, middle + half], 1)
        boxes[taken == 0, 2] = -1.0 - side  # empty
        return boxes, np.stack([self.uniform(0, 255) for _ in range(3)], 1)
