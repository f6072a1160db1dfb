"""Heads: each owns its representation of points, from encoding targets to decoding predictions."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from landmarks.distributed import collectives
from landmarks.losses import Elementwise, masked_mean
from landmarks.models.model_protocols import Head

MOMENTUM = 0.1  # of the mean, as batch norms have
# An output of 1 is a sixteenth of the input's side. A step of Adam moves an output by the sum of
# hundreds of features times the learning rate: in halves of the side that was 20 pixels of 96,
# before features were mean-centred.
UNITS = 16
MOMENTS = 3  # a channel's average, and its averages weighted by x and y


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


def pool_moments(features: Tensor) -> Tensor:
    """Return (B, 3C): averages over all cells, then the same weighted by x and by y.

    An average alone forgets where in the image a channel has answered. A landmark's offset depends
    on that, and a network would have to learn it from the padding at its borders.

    Args:
        features: (B, C, H, W); x and y run from -2 at one edge of the image to 2 at the other.
    """
    height, width = features.shape[-2:]
    y, x = (
        (4 * torch.arange(n, dtype=features.dtype, device=features.device) + 2) / n - 2
        for n in (height, width)
    )
    places = torch.stack(
        [features.new_ones(height, width), x.expand(height, -1), y[:, None].expand(-1, width)]
    )
    return torch.einsum("bchw,mhw->bmc", features, places / (height * width)).flatten(1)


class Refinement(nn.Module):
    """Points -> refined points, by the features at each point.

    A linear layer reads the features at a point and predicts the offset to its landmark. Every
    landmark has weights of its own, which start at zero. Features between cells are interpolated
    bilinearly, and so are the offsets that they predict: what is right at every cell is right in
    between.

    Args:
        channels: C of the features.
        num_points: K.
        size: side of the input, in pixels.
        stride: input pixels a cell of the features; offsets are predicted in cells.
        rounds: how often points are refined, one round after the other.

    Source: the cascade of Trigeorgis et al., Mnemonic Descent Method, CVPR 2016, of linear steps.
    """

    def __init__(self, channels: int, num_points: int, size: int, stride: int, rounds: int = 1):
        super().__init__()
        self.size, self.stride, self.rounds = size, stride, rounds
        self.center = Center(channels)
        self.weight = nn.Parameter(torch.zeros(2, channels, num_points))
        self.bias = nn.Parameter(torch.zeros(num_points, 2))

    def forward(self, features: Tensor, points: Tensor) -> Tensor:
        """Return refined points (B, K, 2), input pixels, of features (B, C, H, W) and points.

        A point beyond the outermost cells' centres is refined by the features at the nearest place
        between them. No gradient flows through the places where features are read.
        """
        edge = (self.stride - 1) / 2
        places = points.detach().clamp(edge, self.size - 1 - edge)
        grid = (2 * places[:, None] + 1) / self.size - 1
        found = functional.grid_sample(features, grid, align_corners=False).squeeze(2)
        found = self.center(found)
        # Not a product of matrices: K small ones cost ten times as much.
        offsets = torch.stack([(found * weight).sum(1) for weight in self.weight], 2)
        return points.detach() + self.stride * (offsets + self.bias)


class RegressionHead(Head):
    """Pool the last feature map and predict every point's offset from a start shape.

    The offset is predicted in sixteenths of the input's side. The loss is taken in input pixels:
    Wing's and smooth L1's constants are pixels. Refinement then moves each point by the features
    of a finer map, the first one, at that point; every round has the loss.

    Args:
        channels: of the last feature map.
        num_points: K.
        size: side of the input, in pixels.
        elementwise: a loss of `landmarks.losses`; None for a model that only predicts.
        start: (K, 2) input pixels, what is predicted before training; None: the input's centre.
        refinement: by the first feature map; None: there is none.

    Raises:
        UserError: for a loss that is not made for pixels.
    """

    domain, has_confidence = "pixels", False

    def __init__(
        self,
        channels: int,
        num_points: int,
        size: int,
        elementwise: Elementwise | None = None,
        start=None,
        refinement: Refinement | None = None,
    ):
        super().__init__(elementwise)
        self.elementwise = elementwise
        self.corrections = refinement  # as checkpoints name its weights
        self.scale = size / UNITS
        channels = MOMENTS * channels
        self.center = Center(channels)
        self.offsets = nn.Linear(channels, 2 * num_points)
        nn.init.zeros_(self.offsets.weight)  # before training it predicts `start`
        nn.init.zeros_(self.offsets.bias)
        if start is None:
            start = torch.full((num_points, 2), (size - 1) / 2)
        self.register_buffer("start", torch.as_tensor(start, dtype=torch.float32).clone())

    def decode(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return points (B, K, 2) in input pixels, and NaN: regression knows no confidence."""
        points = self.find(features)[-1]
        return points, points.new_full(points.shape[:2], torch.nan)

    def loss(self, features: list[Tensor], points: Tensor) -> Tensor:
        """Return the mean loss over labelled coordinates; `points` (B, K, 2), NaN unlabelled."""
        rounds = self.find(features)
        return sum(masked_mean(self.elementwise, found, points) for found in rounds) / len(rounds)

    def find(self, features: list[Tensor]) -> list[Tensor]:
        """Return points (B, K, 2) in input pixels as they are first found and after each round."""
        with torch.autocast(features[-1].device.type, enabled=False):
            # bfloat16 has 8 bits: half a pixel at 128. Points are float32 from here on.
            pooled = self.center(pool_moments(features[-1].float()))
            offsets = self.offsets(pooled).unflatten(1, (-1, 2))
            found = [self.start + self.scale * offsets]
            if self.corrections is not None:
                fine = features[0].float()
                for _ in range(self.corrections.rounds):
                    found.append(self.corrections(fine, found[-1]))
        return found
