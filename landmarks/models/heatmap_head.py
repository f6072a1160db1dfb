"""The heatmap head: a map a landmark, trained and decoded over chunks of landmarks."""

from typing import Literal

import torch
from torch import Tensor, nn

from landmarks.heatmaps.compile_loss import fuse_loss
from landmarks.heatmaps.decoders import DECODERS
from landmarks.heatmaps.heatmap_loss import (
    choose_tile,
    heatmap_loss,
    is_on_map,
    pointwise,
    profile,
    to_cells,
    to_pixels,
)
from landmarks.losses import Elementwise
from landmarks.models.model_protocols import Head
from landmarks.settings import DecoderName

INIT_STD = 0.01  # of the initial weights: maps start near zero, and differ between landmarks


class HeatmapHead(Head):
    """A 1x1 convolution to K maps, their loss against Gaussians, and their decoding.

    No (B, K, H, W) tensor is ever held, see `landmarks.heatmaps.heatmap_loss`. A point outside the
    map or without label is masked from the loss. Decoders answer for every point. Where the map's
    edge cuts a Gaussian off, they find the point from the visible part.

    Args:
        channels: of the last feature map.
        num_points: K.
        size: side of the input, in pixels; points are given and returned in these pixels, whatever
            the size of the images that the features come from.
        elementwise: a loss of `landmarks.losses`; None for a model that only predicts.
        sigma: of the targets, in cells; [first, last] changes from one to the other over
            training, geometrically.
        decoder: a name in `landmarks.heatmaps.decoders`.
        weight: see `landmarks.heatmaps.heatmap_loss.pointwise`.
        chunk: landmarks held at once; "auto": what suits the device.
        fuse: compile the loss; see `landmarks.heatmaps.compile_loss`.
    """

    domain, has_maps = "maps", True

    def __init__(
        self,
        channels: int,
        num_points: int,
        size: int,
        elementwise: Elementwise | None = None,
        sigma: float | list[float] = 1.5,
        decoder: DecoderName = "dark",
        weight: float = 10.0,
        chunk: int | Literal["auto"] = "auto",
        fuse: bool | Literal["auto"] = "auto",
    ):
        super().__init__(elementwise)
        self.size, self.chunk = size, None if chunk == "auto" else chunk
        self.schedule = sigma if isinstance(sigma, list) else [sigma, sigma]
        self.decoder = DECODERS[decoder]
        self.weight = nn.Parameter(INIT_STD * torch.randn(num_points, channels))
        self.bias = nn.Parameter(torch.zeros(num_points))
        # A buffer, so that the averaged model and checkpoints hold it too.
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
            batch, height * width, len(weight), self.chunk, flat.device.type
        )
        for first in range(0, batch, images):
            part = slice(first, first + images)
            values = flat[part].flatten(0, 1)
            for k in range(0, len(weight), chunk):
                some = slice(k, k + chunk)
                maps = torch.addmm(bias[some], values, weight[some].T)
                yield part, some, maps.unflatten(0, (-1, height, width)).permute(0, 3, 1, 2)

    def maxima(
        self, features: list[Tensor], ranges: list[range], points: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the largest of predicted maps and of their targets, 0 where all are negative.

        See `Head.maxima`. A point that is unlabelled or outside the map has no target.
        """
        batch, _, height, width = features[-1].shape
        shape = batch, len(ranges), height, width
        predicted = features[-1].new_zeros(shape, dtype=torch.float32)
        targets = None
        if points is not None:
            targets = torch.zeros_like(predicted)
            centres = to_cells(points, self.size / width)
            on_map = is_on_map(centres, height, width)
            centres = torch.where(on_map[..., None], centres, torch.inf)  # no cell is near
            along_x = profile(centres[..., 0], width, self.sigma).transpose(1, 2)
            along_y = profile(centres[..., 1], height, self.sigma).transpose(1, 2)
        for part, some, maps in self.tiles(features):
            raise_to(predicted[part], maps, some, ranges)
            if points is not None:
                maps = along_y[part, some, :, None] * along_x[part, some, None]
                raise_to(targets[part], maps, some, ranges)
        return predicted, targets

    def decode(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return points (B, K, 2) in input pixels and their confidence (B, K), 0 to 1."""
        batch, landmarks = len(features[-1]), len(self.weight)
        with torch.autocast(features[-1].device.type, enabled=False):
            points, confidence = self.decoder.decode_tiles(
                self.tiles(features), batch, landmarks, self.sigma, max(self.schedule)
            )
        return to_pixels(points, self.size / features[-1].shape[-1]), confidence


def raise_to(largest: Tensor, maps: Tensor, some: slice, ranges: list[range]) -> None:
    """Raise (b, R, H, W), in place, to the maximum over each range of maps (b, k, H, W).

    The maps are those of the landmarks `some`; a range may hold all, a part or none of them.
    """
    for r, wanted in enumerate(ranges):
        first, end = (max(0, edge - some.start) for edge in (wanted.start, wanted.stop))
        if first < end and first < maps.shape[1]:
            largest[:, r] = torch.maximum(largest[:, r], maps[:, first:end].amax(1).float())
