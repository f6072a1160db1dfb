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

    def unpack(self, numbers: Tensor) -> dict[str, Tensor]:
        """Return each group (B, width), a view of `numbers` (B, P)."""
        return {name: numbers[:, columns] for name, columns in self.slices.items()}
