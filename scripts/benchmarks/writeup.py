"""A plain heatmap training as contestants wrote it, to compare with: float32, whole maps.

A U-Net with a map a landmark at the input's resolution, targets drawn one landmark at a time in
the loader, Adaptive Wing by boolean indexing, points by the expectation over each map.
"""

import numpy as np
import torch
from torch import Tensor, nn

from landmarks.models.unet import ClassicUnet

OMEGA, THETA, EPSILON, ALPHA = 14.0, 0.5, 1.0, 2.1


class WholeMaps(nn.Module):
    """The classic U-Net with a 1x1 convolution; images (B, 3, S, S) -> maps (B, K, S, S)."""

    def __init__(self, num_points: int):
        super().__init__()
        self.body = ClassicUnet(stride=1)
        self.maps = nn.Conv2d(64, num_points, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the maps."""
        return self.maps(self.body(images)[0])


def draw_targets(points: np.ndarray, size: int, sigma: float) -> np.ndarray:
    """Return (K, size, size) Gaussians at points (K, 2), as a data set's __getitem__ does."""
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    maps = [np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * sigma**2)) for px, py in points]
    return np.stack(maps).astype(np.float32)


def adaptive_wing_loss(maps: Tensor, targets: Tensor) -> Tensor:
    """Return the mean loss; near and far elements are picked out by boolean masks."""
    error = (targets - maps).abs()
    near, far = error < THETA, error >= THETA
    y = targets[near]
    first = OMEGA * torch.log(1 + (error[near] / EPSILON) ** (ALPHA - y))
    y = targets[far]
    ratio = torch.pow(torch.tensor(THETA / EPSILON), ALPHA - y)
    slope = OMEGA / (1 + ratio) * (ALPHA - y) * ratio / THETA
    constant = THETA * slope - OMEGA * torch.log(1 + ratio)
    second = slope * error[far] - constant
    return (first.sum() + second.sum()) / (len(first) + len(second))


def expect_points(maps: Tensor) -> Tensor:
    """Return points (B, K, 2), the expectation of x and y over each map."""
    size = maps.shape[-1]
    weights = maps.clamp(min=0).flatten(2)
    weights = weights / weights.sum(2, keepdim=True).clamp(min=1e-6)
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return torch.stack([(weights * axis.flatten().to(maps)).sum(2) for axis in (x, y)], dim=2)
