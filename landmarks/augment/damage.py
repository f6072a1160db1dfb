"""Damage to a batch of photos, on any device: noise, JPEG blocks, covered rectangles.

Functions take images (B, 3, H, W) float32, 0..255, and one number a face; they change nothing in
place. Where only some faces change, `which` (n,) int64 holds their indices in the batch.
"""

import math

import torch
from torch import Tensor

BLOCK = 8  # JPEG's


def noise_tile(side: int, seed: int) -> Tensor:
    """Return normal noise (side, side, 3), drawn on the host: the same for every device."""
    return torch.randn(side, side, 3, generator=torch.Generator().manual_seed(seed))


def add_noise(
    images: Tensor, tile: Tensor, which: Tensor, strength: Tensor, corners: Tensor
) -> Tensor:
    """Add a piece of a noise tile to some faces.

    Args:
        tile: (T, T, 3) of `noise_tile`, T at least H and W.
        which: (n,) the faces.
        strength: (n,) standard deviations, grey levels.
        corners: (n, 2) int64, y and x of each piece's corner, in 0..T-1.
    """
    side = len(tile)
    rows, columns = (torch.arange(length, device=images.device) for length in images.shape[2:])
    y = (corners[:, :1] + rows) % side
    x = (corners[:, 1:] + columns) % side
    piece = tile[y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2)
    return images.index_add(0, which, piece * strength.view(-1, 1, 1, 1))


def jpeg_tables() -> Tensor:
    """Return (2, 8, 8): the matrix of the cosine transform, and JPEG's quantisation table."""
    return torch.stack([_cosines(), torch.tensor(TABLE, dtype=torch.float32)])


def make_blocks(images: Tensor, tables: Tensor, which: Tensor, strength: Tensor) -> Tensor:
    """Quantise some faces' 8 x 8 blocks as JPEG does, each colour by the table for brightness.

    Args:
        images: what does not fill a block at the right and the bottom stays as it is.
        tables: of `jpeg_tables`, on the device of the images.
        which: (n,) the faces.
        strength: (n,) multiples of the standard's table (ITU-T T.81, K.1); 1 is quality 50.
    """
    height, width = (side - side % BLOCK for side in images.shape[2:])
    some = images[which, :, :height, :width]
    blocks = some.unflatten(3, (-1, BLOCK)).unflatten(2, (-1, BLOCK)).transpose(3, 4)
    cosines, table = tables
    quantum = (table * strength.view(-1, 1, 1, 1, 1, 1)).clamp_min(1.0)
    waves = cosines @ (blocks - 128) @ cosines.T
    blocks = cosines.T @ ((waves / quantum).round() * quantum) @ cosines + 128
    some = blocks.transpose(3, 4).flatten(4, 5).flatten(2, 3)
    out = images.clone()
    out[which, :, :height, :width] = some
    return out


def _cosines() -> Tensor:
    """Return the (8, 8) orthonormal matrix of the discrete cosine transform."""
    n = torch.arange(BLOCK, dtype=torch.float32)
    matrix = torch.cos(math.pi / BLOCK * (n + 0.5) * n[:, None]) * math.sqrt(2 / BLOCK)
    matrix[0] /= math.sqrt(2)
    return matrix


def erase(images: Tensor, boxes: Tensor, colours: Tensor) -> Tensor:
    """Cover a rectangle of each face with one colour.

    Args:
        boxes: (B, 4) x0, y0, x1, y1 in pixels; empty where x1 < x0.
        colours: (B, 3), 0..255.
    """
    x = torch.arange(images.shape[3], device=images.device)
    y = torch.arange(images.shape[2], device=images.device)[:, None]
    x0, y0, x1, y1 = boxes.view(-1, 4, 1, 1, 1).unbind(1)
    inside = (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
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
