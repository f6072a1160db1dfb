"""Faces read and cropped, a batch at a time: uint8 pixels and points, ready for the device."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from landmarks.data.crops.boxes import have_size
from landmarks.data.crops.crop import blacken, crop_face, read_face
from landmarks.data.faces import Faces
from landmarks.geometry import BoxCrop, Crop, box_matrix, invert, transform


class Batch(NamedTuple):
    """B faces.

    images (B, 3, C, C) uint8 RGB, in channels_last memory: the input of side S in the middle and,
    for augmentation, a margin around it; points (B, K, 2) float32 in input pixels, NaN where
    unlabelled (K is 0 without labels); to_image (B, 2, 3) float32, input pixels to original ones;
    rows (B,) int64, where the faces stand in the data set; readable (B,) bool: an unreadable image
    is black and its points are NaN.
    """

    images: Tensor
    points: Tensor
    to_image: Tensor
    rows: Tensor
    readable: Tensor


class CroppedFaces(Dataset):
    """Reads and crops faces, a batch at a time (`__getitems__`), in the calling process.

    Args:
        faces: with boxes, if the crop is a `BoxCrop`.
        crop: as `landmarks.data.crops.boxes.frame_faces` returns it.
        size: side of the input, in pixels.
        margin: additional pixels around the input at every side.
    """

    def __init__(self, faces: Faces, crop: Crop | BoxCrop, size: int, margin: int = 0):
        if crop == "box":  # a bare name: no margin, and perhaps no boxes
            raise ValueError("crop=box reaches the loader through frame_faces, as a BoxCrop")
        self.faces, self.crop, self.size, self.margin = faces, crop, size, margin

    def __len__(self) -> int:
        return len(self.faces)

    def __getitems__(self, rows: list[int]) -> Batch:
        """Return the batch of these rows."""
        count, side = len(rows), self.size + 2 * self.margin
        pixels = np.zeros((count, side, side, 3), np.uint8)
        matrices = np.tile(np.eye(2, 3), (count, 1, 1))
        readable = np.zeros(count, bool)
        for i, row in enumerate(rows):
            matrix = self.read(row, pixels[i])
            if matrix is not None:
                matrices[i], readable[i] = matrix, True
        return make_batch(self.faces, rows, pixels, matrices, readable, self.margin)

    def read(self, row: int, out: np.ndarray) -> np.ndarray | None:
        """Read a face into `out` (C, C, 3), zeroed; return its (2, 3) matrix, or None.

        None stands for an unreadable image or a box without size.
        """
        crop, shown = self.crop, None
        if isinstance(crop, BoxCrop):
            shown = crop.shown
            if not have_size(self.faces.boxes[row : row + 1]).all():
                return None
            crop = box_matrix(self.faces.boxes[row], crop.margin, self.size)
            crop[:, 2] += self.margin
        image = None if self.faces.pixels is None else self.faces.pixels[row]
        if image is not None:
            matrix = crop_face(image, crop, out, margin=self.margin)
        else:
            matrix = read_face(self.faces.path(row), crop, out, self.margin, self.faces.exif)
        if shown is not None:
            blacken(out, shown)
        return matrix


def is_plausible(points: np.ndarray, size: int) -> np.ndarray:
    """Say which of the points (n, K, 2), input pixels, may be labels of a face in the input.

    A point more than a side outside the input is a typing error or a number that stands for a
    missing label. It would move the mean shape of hundreds of faces by pixels.

    Returns:
        (n, K) bool, False where unlabelled.
    """
    return ((points > -size) & (points < 2 * size)).all(2)


def make_batch(
    faces: Faces,
    rows: list[int],
    pixels: np.ndarray,
    matrices: np.ndarray,
    readable: np.ndarray,
    margin: int,
) -> Batch:
    """Return a batch of these pixels (B, C, C, 3); matrices (B, 2, 3) go from image to pixels."""
    matrices = matrices.copy()
    matrices[:, :, 2] -= margin
    matrices[~readable] = np.eye(2, 3)
    if faces.points is None:
        points = np.empty((len(rows), 0, 2), np.float32)
    else:
        points = transform(matrices, np.asarray(faces.points[rows], np.float64))
        points[~readable] = np.nan
    return Batch(
        torch.from_numpy(pixels).permute(0, 3, 1, 2),
        torch.from_numpy(points.astype(np.float32)),
        torch.from_numpy(invert(matrices).astype(np.float32)),
        torch.tensor(rows),
        torch.from_numpy(readable),
    )
