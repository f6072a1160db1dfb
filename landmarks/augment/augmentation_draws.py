"""What one batch's augmentation needs, drawn on the host: numbers in one array, and how much work.

One array is one copy to the device. The numbers change with every batch, where they stand does not.
"""

from typing import NamedTuple

import numpy as np
from torch import Tensor


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
