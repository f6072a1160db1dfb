"""Damage to a batch of photos, on any device: noise, JPEG blocks, covered rectangles.

Functions take images (B, 3, S, S) float32, 0..255, which they may change in place, and float32
numbers of each face. Where only some faces change, the first number is the face's index in the
batch. No face is given twice.
"""

import math

import torch
from torch import Tensor

BLOCK = 8  # JPEG's


def noise_tile(side: int, seed: int) -> Tensor:
    """Return normal noise (side, side, 3), drawn on the host: the same for every device."""
    return torch.randn(side, side, 3, generator=torch.Generator().manual_seed(seed))


def add_noise(
    images: Tensor, tile: Tensor, pixels: Tensor, places: Tensor, strength: Tensor
) -> Tensor:
    """Add a piece of a noise tile to some faces.

    Args:
        tile: (2S, 2S, 3) of `noise_tile`.
        pixels: (S,) int64, 0 to S - 1.
        places: (n, 3) the faces, and y and x of each piece's corner, in 0..S-1.
        strength: (n, 1) standard deviations, grey levels; 0 changes nothing.
    """
    which, corners = places.long().split([1, 2], 1)
    y, x = (corners.unsqueeze(2) + pixels).unbind(1)
    piece = tile[y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2)
    return images.index_add_(0, which.squeeze(1), piece * strength.view(-1, 1, 1, 1))


def jpeg_tables() -> Tensor:
    """Return (2, 8, 8): the matrix of the cosine transform, and JPEG's quantisation table."""
    return torch.stack([_cosines(), torch.tensor(TABLE, dtype=torch.float32)])


def make_blocks(images: Tensor, tables: Tensor, which: Tensor, strength: Tensor) -> Tensor:
    """Quantise some faces' 8 x 8 blocks as JPEG does, each colour by the table for brightness.

    Args:
        images: what does not fill a block at the right and the bottom stays as it is.
        tables: of `jpeg_tables`, on the device of the images.
        which: (n, 1) the faces.
        strength: (n, 1) multiples of the standard's table (ITU-T T.81, K.1); 1 is quality 50, 0
            changes nothing.
    """
    height, width = (side - side % BLOCK for side in images.shape[2:])
    which = which.squeeze(1).long()
    some = images[which, :, :height, :width]
    blocks = some.unflatten(3, (-1, BLOCK)).unflatten(2, (-1, BLOCK)).transpose(3, 4)
    cosines, table = tables
    quantum = (table * strength.view(-1, 1, 1, 1, 1, 1)).clamp_min_(1.0)
    waves = cosines @ (blocks - 128) @ cosines.T
    blocks = cosines.T @ (waves / quantum).round_().mul_(quantum) @ cosines
    blocky = blocks.add_(128).transpose(3, 4).flatten(4, 5).flatten(2, 3)
    images[which, :, :height, :width] = blocky.where(strength.view(-1, 1, 1, 1) > 0, some)
    return images


def _cosines() -> Tensor:
    """Return the (8, 8) orthonormal matrix of the discrete cosine transform."""
    n = torch.arange(BLOCK, dtype=torch.float32)
    matrix = torch.cos(math.pi / BLOCK * (n + 0.5) * n[:, None]) * math.sqrt(2 / BLOCK)
    matrix[0] /= math.sqrt(2)
    return matrix


def erase(images: Tensor, pixels: Tensor, boxes: Tensor, colours: Tensor) -> Tensor:
    """Cover a rectangle of each face with one colour.

    Args:
        pixels: (S,) 0 to S - 1.
        boxes: (B, 4) x0, y0, x1, y1 in pixels; empty where x1 < x0.
        colours: (B, 3), 0..255.
    """
    low, high = boxes.view(-1, 2, 2, 1).unbind(1)
    x, y = ((pixels >= low) & (pixels <= high)).unbind(1)
    inside = (x[:, None, :] & y[:, :, None]).unsqueeze(1)
    return torch.where(inside, colours.view(-1, 3, 1, 1), images)


TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
