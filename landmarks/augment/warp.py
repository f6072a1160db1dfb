"""Moving a batch of images by one matrix a face, on any device, without aliasing."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from landmarks.devices import move
from landmarks.geometry import compose, invert


def warp(images: Tensor, matrices: np.ndarray, size: int, variance: np.ndarray) -> Tensor:
    """Return (B, 3, S, S) float32, the images moved; black where there is nothing.

    Args:
        images: (B, 3, C, C), with the input of side S in the middle.
        matrices: (B, 2, 3), input pixels to input pixels.
        variance: (B,) square pixels, of an additional blur.

    Interpolation is bilinear. Where a face shrinks, it is blurred first against aliasing: the blur
    widens the interpolation's own triangle (variance 1/6) to the size of the larger pixel.
    """
    side = images.shape[-1]
    images = images.float()
    shrink = np.sqrt(np.abs(np.linalg.det(matrices[:, :, :2])))
    variance = variance + np.maximum(shrink**-2 - 1, 0) / 6
    if variance.max() > 1e-6:
        images = smooth(images, to(variance, images), 1 if variance.max() <= 0.5 else 2)
    if (matrices == np.eye(2, 3)).all():
        trim = (side - size) // 2
        return images[:, :, trim : trim + size, trim : trim + size]
    # grid_sample counts from -1 at an image's edge to 1 at its other edge, half a pixel outside.
    inputs = normalize(size, 0.0)
    canvas = normalize(side, (side - size) / 2)
    theta = compose(canvas, compose(invert(matrices), invert(inputs)))
    grid = functional.affine_grid(
        to(theta, images), [len(images), 3, size, size], align_corners=False
    )
    return functional.grid_sample(images, grid, padding_mode="zeros", align_corners=False)


def normalize(side: int, margin: float) -> np.ndarray:
    """Return the (2, 3) matrix from input pixels to -1..1 over a canvas with such a margin."""
    shift = (2 * margin + 1) / side - 1
    return np.array([[2 / side, 0, shift], [0, 2 / side, shift]])


def to(values: np.ndarray, like: Tensor) -> Tensor:
    """Copy numbers from the host to a tensor's device, float32 or int64, without waiting."""
    if values.dtype == np.float64:
        values = values.astype(np.float32)
    return move(torch.from_numpy(values), like.device)


def smooth(images: Tensor, variance: Tensor, steps: int = 2) -> Tensor:
    """Blur each face by about a Gaussian of this variance.

    Args:
        images: (B, 3, H, W); the edge is repeated outwards.
        variance: (B,) square pixels, up to 0.5 with one step, 2.5 with two; more counts as that.
        steps: three taps at distance 1, then three at distance 2 (a kernel with holes is smooth
            after a narrower one).
    """
    for distance in range(1, steps + 1):
        most = distance**2 / 2
        side = (variance.clamp(0, most) / (2 * distance**2)).view(-1, 1, 1, 1)
        variance = variance - most
        for axis in (2, 3):
            images = _three_taps(images, side, distance, axis)
    return images


def _three_taps(images: Tensor, side: Tensor, distance: int, axis: int) -> Tensor:
    length = images.shape[axis]
    first, last = images.narrow(axis, 0, 1), images.narrow(axis, length - 1, 1)
    both = torch.cat([first] * distance + [images.narrow(axis, 0, length - distance)], axis)
    both.narrow(axis, 0, length - distance).add_(images.narrow(axis, distance, length - distance))
    both.narrow(axis, length - distance, distance).add_(last)
    return torch.addcmul(images * (1 - 2 * side), both, side)
