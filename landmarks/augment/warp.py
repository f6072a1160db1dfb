"""Moving a batch of images by one matrix a face, on any device, without aliasing.

What depends on matrices is computed on the host, what depends on pixels on the device.
"""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from landmarks.geometry import compose, invert

LEAST = 1e-6  # square pixels: the variance above which one step of smoothing is needed
MIDDLE = 0.5  # likewise, two


def sampling_matrices(matrices: np.ndarray, size: int, side: int) -> np.ndarray:
    """Return (B, 2, 3), from a place in the moved input to one in the canvas, both -1..1.

    Args:
        matrices: (B, 2, 3), input pixels to input pixels.
        size, side: of the input, and of the canvas with the input in its middle, in pixels.
    """
    # grid_sample counts from -1 at an image's edge to 1 at its other edge, half a pixel outside.
    inputs = normalize(size, 0.0)
    canvas = normalize(side, (side - size) / 2)
    return compose(canvas, compose(invert(matrices), invert(inputs)))


def normalize(side: int, margin: float) -> np.ndarray:
    """Return the (2, 3) matrix from input pixels to -1..1 over a canvas with such a margin."""
    shift = (2 * margin + 1) / side - 1
    return np.array([[2 / side, 0, shift], [0, 2 / side, shift]])


def pixel_grid(size: int) -> Tensor:
    """Return (S * S, 3): x, y and 1 of each pixel of the input, -1..1."""
    places = torch.linspace(-1, 1, size) * (size - 1) / size
    y, x = torch.meshgrid(places, places, indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)], 2).flatten(0, 1)


def sample(images: Tensor, theta: Tensor, grid: Tensor) -> Tensor:
    """Return (B, 3, S, S), the images moved; black where there is nothing.

    Args:
        images: (B, 3, C, C) float32.
        theta: (B, 2, 3) of `sampling_matrices`.
        grid: of `pixel_grid`, on the same device.

    Interpolation is bilinear. A face that shrinks is to be blurred first, see `added_variance`.
    """
    count, size = len(images), math.isqrt(len(grid))
    places = torch.bmm(grid.expand(count, -1, -1), theta.transpose(1, 2))
    places = places.view(count, size, size, 2)
    return functional.grid_sample(images, places, padding_mode="zeros", align_corners=False)


def centre(images: Tensor, size: int) -> Tensor:
    """Return (B, 3, S, S) of the middle of images (B, 3, C, C), a view."""
    trim = (images.shape[-1] - size) // 2
    return images[:, :, trim : trim + size, trim : trim + size]


def added_variance(matrices: np.ndarray) -> np.ndarray:
    """Return (B,) square pixels: the blur that keeps what these matrices shrink from aliasing.

    It widens the interpolation's own triangle (variance 1/6) to the size of the larger pixel.
    """
    shrink = np.sqrt(np.abs(np.linalg.det(matrices[:, :, :2])))
    return np.maximum(shrink**-2 - 1, 0) / 6


def largest_added_variance(scale: float) -> float:
    """Return the largest of `added_variance` of matrices that shrink by 1 + scale at most."""
    return ((1 + scale) ** 2 - 1) / 6


def smoothing_steps(largest: float) -> int:
    """Return how many steps of `smooth` a batch needs whose largest variance is this."""
    return int(largest > LEAST) + int(largest > MIDDLE)


def smoothing_taps(variance: np.ndarray, steps: int) -> np.ndarray:
    """Return (B, steps, 2) float32: the weights of either side and of the middle, step by step.

    Args:
        variance: (B,) square pixels, up to 0.5 with one step, 2.5 with two; more counts as that.
        steps: three taps at distance 1, then three at distance 2 (a kernel with holes is smooth
            after a narrower one).
    """
    left = variance.astype(np.float32)
    taps = np.empty((len(left), steps, 2), np.float32)
    for distance in range(1, steps + 1):
        most = distance**2 / 2
        side = left.clip(0, most) / (2 * distance**2)
        taps[:, distance - 1] = np.stack([side, 1 - 2 * side], 1)
        left = left - most
    return taps


def smooth(images: Tensor, taps: Tensor) -> Tensor:
    """Blur each face by about a Gaussian.

    Args:
        images: (B, 3, H, W); the edge is repeated outwards.
        taps: (B, steps, 2) of `smoothing_taps`. Where sides weigh 0, nothing changes.
    """
    for index in range(taps.shape[1]):
        side, middle = taps[:, index].view(-1, 2, 1, 1, 1).unbind(1)
        distance = index + 1
        images = functional.pad(images, [distance] * 4, mode="replicate")
        for axis in (2, 3):
            images = _three_taps(images, side, middle, distance, axis)
    return images


def _three_taps(images: Tensor, side: Tensor, middle: Tensor, distance: int, axis: int) -> Tensor:
    """Return the weighted sum of each pixel and two others, which it has within the images."""
    length = images.shape[axis] - 2 * distance
    before, at, after = (images.narrow(axis, i * distance, length) for i in range(3))
    return (at * middle).addcmul_(before + after, side)
