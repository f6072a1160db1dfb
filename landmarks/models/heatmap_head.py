"""The heatmap head: a map a landmark, trained and decoded over chunks of landmarks."""

from typing import Literal

import torch
from torch import Tensor, nn

from landmarks.decoders import DECODERS
from landmarks.heatmaps import choose_tile, heatmap_loss, pointwise, to_cells, to_pixels
from landmarks.losses import Elementwise
from landmarks.models.fuse import fuse_loss

DecoderName = Literal["argmax", "weighted", "local", "dark"]
SPREAD = 0.01  # of the first weights: maps start near zero, and every landmark differently


class HeatmapHead(nn.Module):
    """A 1x1 convolution to K maps, their loss against Gaussians, and their decoding.

    No (B, K, H, W) tensor is ever held, see `landmarks.heatmaps`. A point outside the map or
    without label is masked from the loss; the decoders answer for every point, and place one whose
    Gaussian is cut off by the map's edge where the visible part says.

    Args:
        channels: of the last feature map.
        num_points: K.
        size: side of the input, in pixels; points are given and returned in these pixels, whatever
            the size of the images that the features come from.
        elementwise: a loss of `landmarks.losses`; None for a model that only predicts.
        sigma: of the targets, in cells; [first, last] goes from one to the other over training,
            evenly in the logarithm.
        decoder: a name in `landmarks.decoders`.
        weight: see `landmarks.heatmaps.pointwise`.
        chunk: landmarks held at once; "auto": what suits the device.
        fuse: compile the loss; see `landmarks.models.fuse`.
    """

    def __init__(
        self,
        channels: int,
        num_points: int,
        size: int,
        elementwise: Elementwise | None = None,
        sigma: float | list[float] = 1.5,
        decoder: DecoderName = "local",
        weight: float = 10.0,
        chunk: int | Literal["auto"] = "auto",
        fuse: bool | Literal["auto"] = "auto",
    ):
        super().__init__()
        self.size, self.chunk = size, None if chunk == "auto" else chunk
        self.schedule = sigma if isinstance(sigma, list) else [sigma, sigma]
        self.decoder = DECODERS[decoder]
        self.weight = nn.Parameter(SPREAD * torch.randn(num_points, channels))
        self.bias = nn.Parameter(torch.zeros(num_points))
        # A buffer: the averaged model follows it, and a checkpoint says what its maps look like.
        self.register_buffer("sigma", torch.tensor(float(self.schedule[0])))
        self.function = None
        if elementwise is not None:
            self.function = fuse_loss(pointwise(elementwise, weight), fuse)

    def advance(self, progress: float) -> None:
        """Set the targets' sigma for a share of training, 0 to 1."""
        first, last = self.schedule
        self.sigma.fill_(first * (last / first) ** min(progress, 1.0))

    def loss(self, features: list[Tensor], points: Tensor) -> Tensor:
        """Return the mean loss over cells of labelled maps; `points` (B, K, 2), NaN unlabelled."""
        maps = features[-1]
        centres = to_cells(points, self.size / maps.shape[-1])
        return heatmap_loss(
            maps, self.weight, self.bias, centres, self.sigma, self.function, self.chunk
        )

    def tiles(self, features: list[Tensor]):
        """Yield (images, landmarks, maps): two slices, and what they hold (b, k, H, W)."""
        batch, channels, height, width = features[-1].shape
        flat = features[-1].permute(0, 2, 3, 1).reshape(batch, height * width, channels)
        weight, bias = self.weight.to(flat.dtype), self.bias.to(flat.dtype)
        images, chunk, _ = choose_tile(
            *(batch, height * width, len(weight), self.chunk, flat.device.type)
        )
        for first in range(0, batch, images):
            part = slice(first, first + images)
            values = flat[part].flatten(0, 1)
            for k in range(0, len(weight), chunk):
                some = slice(k, k + chunk)
                maps = torch.addmm(bias[some], values, weight[some].T)
                yield part, some, maps.unflatten(0, (-1, height, width)).permute(0, 3, 1, 2)

    def decode(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return points (B, K, 2) in input pixels and their confidence (B, K), 0 to 1."""
        batch, landmarks = len(features[-1]), len(self.weight)
        points = features[-1].new_empty(batch, landmarks, 2, dtype=torch.float32)
        confidence = points.new_empty(batch, landmarks)
        with torch.autocast(points.device.type, enabled=False):
            for part, some, maps in self.tiles(features):
                points[part, some], confidence[part, some] = self.decoder(maps, self.sigma)
        return to_pixels(points, self.size / features[-1].shape[-1]), confidence
