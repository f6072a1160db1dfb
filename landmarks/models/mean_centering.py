"""Mean-centred features."""

import torch
from torch import Tensor, nn

from landmarks.distributed import collectives

MOMENTUM = 0.1  # of the mean, as batch norms have


class Center(nn.Module):
    """Subtract from every channel its running mean.

    Features behind a ReLU are positive. A step of Adam moves every weight by about the learning
    rate, so a layer that reads hundreds of positive features moves its outputs for all faces alike,
    by pixels, and the difference between faces drowns in that. With mean-centred features only the
    bias moves all faces alike. The running mean is used in training too, so that a batch of one
    face works.

    Args:
        channels: C.

    Attributes:
        mean: (C,), the running mean. NaN subtracts nothing and stays: older models have it.

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
            # Ranks have equal parts of the batch, so the mean of their means is the batch's.
            self.mean.lerp_(collectives.mean(found), MOMENTUM)
        shape = (-1, *(1,) * (features.ndim - 2))
        return features - self.mean.nan_to_num().to(features.dtype).view(shape)
