"""Heads: each owns its representation of points, from encoding targets to decoding predictions."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from landmarks.losses import Elementwise, masked_mean


class RegressionHead(nn.Module):
    """Average the last feature map and predict every point's offset from a start shape.

    The offset is predicted in units of half the input's side and the loss is taken in input
    pixels: Wing's and smooth L1's constants are pixels.

    Args:
        channels: of the last feature map.
        num_points: K.
        size: side of the input, in pixels.
        elementwise: a loss of `landmarks.losses`; None for a model that only predicts.
        start: (K, 2) input pixels, what is predicted before training; None: the input's centre.
    """

    def __init__(
        self,
        channels: int,
        num_points: int,
        size: int,
        elementwise: Elementwise | None = None,
        start=None,
    ):
        super().__init__()
        self.elementwise = elementwise
        self.scale = size / 2
        self.offsets = nn.Linear(channels, 2 * num_points)
        nn.init.zeros_(self.offsets.weight)  # whatever the features, training starts at `start`
        nn.init.zeros_(self.offsets.bias)
        if start is None:
            start = torch.full((num_points, 2), (size - 1) / 2)
        self.register_buffer("start", torch.as_tensor(start, dtype=torch.float32).clone())

    def decode(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return points (B, K, 2) in input pixels and their confidence (B, K).

        Regression has no notion of how sure it is: the confidence is NaN.
        """
        pooled = functional.adaptive_avg_pool2d(features[-1], 1).flatten(1)
        with torch.autocast(pooled.device.type, enabled=False):
            # bfloat16 has 8 bits: half a pixel at 128. Points are float32 from here on.
            offsets = self.offsets(pooled.float()).unflatten(1, (-1, 2))
        points = self.start + self.scale * offsets
        return points, points.new_full(points.shape[:2], torch.nan)

    def loss(self, features: list[Tensor], points: Tensor) -> Tensor:
        """Return the mean loss over labelled coordinates; `points` (B, K, 2), NaN unlabelled."""
        return masked_mean(self.elementwise, self.decode(features)[0], points)
