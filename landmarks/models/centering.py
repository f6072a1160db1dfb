"""Features without what they have in common."""

import torch
from torch import Tensor, nn

MOMENTUM = 0.1  # of the mean, as batch norms have


class Center(nn.Module):
    """Subtract from every channel its running mean.

    Features behind a ReLU are positive. A step of Adam, which moves every weight by the rate, then
    moves the outputs of a layer that reads hundreds of them for all faces alike and by pixels: the
    layer shakes, and what tells one face from another drowns in it. Without their means that
    common move is the bias's alone. The mean is the running one in training too, so that a batch
    of one face is as good as any.

    Args:
        channels: C.

    Attributes:
        mean: (C,); NaN, in what was trained without, subtracts nothing and stays.

    Source: LeCun et al., Efficient BackProp, 1998, section 4.3.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        """Return features (B, C, ...), moved; in training they move the mean first."""
        if self.training:
            others = [axis for axis in range(features.ndim) if axis != 1]
            found = features.detach().mean(others, dtype=torch.float32)
            self.mean.lerp_(found, MOMENTUM)
        shape = (-1, *(1,) * (features.ndim - 2))
        return features - self.mean.nan_to_num().to(features.dtype).view(shape)
