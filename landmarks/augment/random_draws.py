"""What a batch's augmentation draws, on the host, from the seed and the step alone."""

import math
from typing import NamedTuple

import numpy as np
from torch import Tensor


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


class Work(NamedTuple):
    """How much work a batch needs: what branches of the program may depend on.

    Attributes:
        smoothing: steps of smoothing, 0 to 2.
        noisy: faces to which noise is added, the first of their group of columns.
        blocky: faces that are quantised, likewise.
    """

    smoothing: int
    noisy: int
    blocky: int


class Drawn(NamedTuple):
    """What was drawn for a batch: (B, P) float32 `numbers`, and the work that they need."""

    numbers: np.ndarray
    work: Work


class Columns:
    """Where each group of numbers stands in an array of one row a face.

    Args:
        widths: numbers of a face, by the group's name; a group of 0 is left out.
    """

    def __init__(self, **widths: int):
        self.slices, self.width = {}, 0
        for name, width in widths.items():
            if width:
                self.slices[name] = slice(self.width, self.width + width)
                self.width += width

    def pack(self, count: int, groups: dict[str, np.ndarray]) -> np.ndarray:
        """Return (B, P) float32 of groups (B, ...); one without columns is left out."""
        numbers = np.empty((count, self.width), np.float32)
        for name, columns in self.slices.items():
            numbers[:, columns] = groups[name].reshape(count, -1)
        return numbers

    def cut(self, numbers: np.ndarray, part: slice) -> np.ndarray:
        """Return the numbers (b, P) of some of the faces that `numbers` (B, P) are of.

        A group that begins with the face's index in the batch, `NAME_places`, has rows of its own
        order, which it keeps, as does `NAME` beside it.
        """
        count = part.stop - part.start
        if count == len(numbers):
            return numbers
        own = numbers[part].copy()
        for name, columns in self.slices.items():
            if name.endswith("_places"):
                faces = numbers[:, columns.start]
                kept = np.flatnonzero((faces >= part.start) & (faces < part.stop))
                beside = self.slices[name.removesuffix("_places")]
                own[:, columns], own[:, beside] = numbers[kept, columns], numbers[kept, beside]
                own[:, columns.start] -= part.start
        return own

    def unpack(self, numbers: Tensor) -> dict[str, Tensor]:
        """Return each group (B, width), a view of `numbers` (B, P)."""
        return {name: numbers[:, columns] for name, columns in self.slices.items()}
