"""Whole photos in, points in their own pixels out: crop, model and decoder as one torch module.

The crop is that of `landmarks.data.crops.crop.crop_face` for images whose size is known only when
the model runs. Averages over blocks of pixels come from running sums, so that every tensor's shape
but the photo's is fixed, whatever the size of the blocks.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from landmarks.geometry import BoxCrop, Crop
from landmarks.heatmaps.heatmap_loss import to_pixels
from landmarks.models.heatmap_head import HeatmapHead
from landmarks.models.landmarker import Landmarker, merge

UNIT = 2048  # weights of OpenCV's resize are whole numbers of this
POWERS = (2, 4, 8)  # pixels of a side that the decoder of a JPEG may average at once
ROOM = 2**22  # cells of the heatmaps of one face that are held at once


class Places(NamedTuple):
    """Where the pixels of an input of side S come from in one axis of a photo.

    `before` and `after` (N, S) are the blocks of averaged pixels on either side of a pixel's place.
    `near` and `far` (N, S) are their weights, of a whole crop in units of 1/2048, and 0 where there
    is no photo. `step` (N, 1) is the pixels a block. A coordinate p of the input is
    p * `scale` + `shift`, both (N, 1), in the photo.
    """

    before: Tensor
    after: Tensor
    near: Tensor
    far: Tensor
    step: Tensor
    scale: Tensor
    shift: Tensor


def place_whole(crop: Crop, lengths: tuple[Tensor, Tensor], axis: int, size: int) -> Places:
    """Return the places of a crop of whole photos; see `landmarks.geometry.crop_rectangle`.

    Args:
        crop: which.
        lengths: the photo's width and height, float64 scalars.
        axis: 0: x; 1: y.
        size: S.
    """
    blocks = _average(crop, lengths, size)
    cut = [length - length % block for length, block in zip(lengths, blocks, strict=True)]
    across = _land(crop, *cut, size)[axis]
    start = torch.floor((size - across) / 2)
    count = cut[axis] / blocks[axis]
    pixels = torch.arange(size, dtype=torch.float64, device=across.device)
    # OpenCV keeps a place in float32 before it takes the weight from it. Beyond the first and last
    # pixel it holds x back; of y it mixes that row with itself, which rounds otherwise.
    at = ((pixels - start + 0.5) * (count / across) - 0.5).float().double()
    at = torch.minimum(at.clamp(min=0), count - 1) if axis == 0 else at
    before = torch.floor(at)
    far = torch.round((at - before).float().double() * UNIT)
    after = torch.minimum((before + 1).clamp(min=0), count - 1)
    before = torch.minimum(before.clamp(min=0), count - 1)
    shown = ((pixels >= start) & (pixels < start + across)).double()
    scale = cut[axis] / across
    return Places(
        *(part[None] for part in (before.long(), after.long(), (UNIT - far) * shown, far * shown)),
        *(part.reshape(1, 1) for part in (blocks[axis].long(), scale)),
        ((0.5 - start) * scale - 0.5).reshape(1, 1),
    )


def _land(crop: Crop, width: Tensor, height: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return over how many input pixels a photo's width and height reach."""
    if crop == "stretch":
        return torch.full_like(width, size), torch.full_like(height, size)
    side = torch.maximum(width, height) if crop == "letterbox" else torch.minimum(width, height)
    across, down = (torch.round(length * size / side).clamp(min=1) for length in (width, height))
    return across, down


def _average(crop: Crop, lengths: tuple[Tensor, Tensor], size: int) -> list[Tensor]:
    """Return how many columns and rows a block has, see `landmarks.data.crops.crop.averaging`."""
    blocks = _count_blocks(crop, lengths, size)
    power = torch.ones_like(blocks[0])
    for more in POWERS:
        left = _count_blocks(crop, [torch.floor(length / more) for length in lengths], size)
        fits = torch.minimum(*blocks) >= more
        for count, of_reduced in zip(blocks, left, strict=True):
            fits = fits & (torch.floor(count / more) == of_reduced)
        power = torch.where(fits, more, power)
    return [torch.floor(count / power) * power for count in blocks]


def _count_blocks(crop: Crop, lengths: Sequence[Tensor], size: int) -> list[Tensor]:
    blocks = []
    for length, across in zip(lengths, _land(crop, *lengths, size), strict=True):
        most = torch.floor((length + torch.floor(length / 16)) / across).clamp(min=1)
        blocks.append(torch.minimum(most, length))
    return blocks


def place_boxes(
    boxes: Tensor, margin: float, lengths: tuple[Tensor, Tensor], axis: int, size: int
) -> Places:
    """Return the places of squares about boxes (N, 4), see `landmarks.geometry.box_matrix`."""
    boxes = boxes.double()
    sides = boxes[:, 2:] - boxes[:, :2]
    scale = size / (sides.amax(1, keepdim=True) * (1 + 2 * margin))
    shift = (size - 1) / 2 - scale * (boxes[:, axis] + boxes[:, axis + 2])[:, None] / 2
    step = torch.floor(17 / (16 * scale)).clamp(min=1)
    step = torch.minimum(step, torch.minimum(*lengths))
    power = 1 + sum((step >= more) * (more // 2) for more in POWERS)
    step = torch.floor(step / power) * power
    last = torch.floor(lengths[axis] / step) - 1
    pixels = torch.arange(size, dtype=torch.float64, device=boxes.device)
    at = ((pixels - shift) / scale + 0.5) / step - 0.5
    before = torch.floor(at)
    far = at - before
    near = (1 - far) * ((before >= 0) & (before <= last))
    far = far * ((before >= -1) & (before < last))
    before, after = (torch.minimum(b.clamp(min=0), last).long() for b in (before, before + 1))
    return Places(before, after, near, far, step.long(), 1 / scale, -shift / scale)


def sample(images: Tensor, across: Places, down: Places, is_resized: bool) -> Tensor:
    """Return (N, 3, S, S) float32, 0..255, whole numbers: the inputs of photos (N, H, W, 3) uint8.

    Args:
        is_resized: interpolate in whole numbers as OpenCV's resize does; else as its warp.
    """
    rows = _mean_blocks(images.int(), down)
    blocks = _mean_blocks(rows.transpose(1, 2), across).transpose(1, 2)  # (N, 2S, 2S, 3)
    area = (down.step * across.step)[..., None, None]
    # Two by two pixels are averaged with halves rounded up, others with halves to even.
    means = blocks.double() / area
    means = torch.where(area == 4, torch.floor(means + 0.5), torch.round(means))
    if is_resized:
        before, after = _weigh(means.transpose(1, 2), across)
        before, after = _weigh(torch.floor((before + after) / 16).transpose(1, 2), down)
        mixed = torch.floor((torch.floor(before / 65536) + torch.floor(after / 65536) + 2) / 4)
    else:
        mixed = sum(_weigh(means, down))
        mixed = torch.round(sum(_weigh(mixed.transpose(1, 2), across)).transpose(1, 2))
    return mixed.float().permute(0, 3, 1, 2)


def _mean_blocks(values: Tensor, places: Places) -> Tensor:
    """Return the sums (N, 2S, ...) of the blocks before, then after each place, of (N, L, ...)."""
    sums = values.cumsum(1, dtype=torch.int32)
    sums = torch.cat([torch.zeros_like(sums[:, :1]), sums], 1)
    blocks = torch.cat([places.before, places.after], 1)
    face = torch.arange(values.shape[0], device=values.device)[:, None]
    begin = blocks * places.step
    return sums[face, begin + places.step] - sums[face, begin]


def _weigh(values: Tensor, places: Places) -> tuple[Tensor, Tensor]:
    """Return the blocks before and after each place, of (N, 2S, ...), times their weights."""
    before, after = values.chunk(2, 1)
    near, far = (weights[..., None, None] for weights in (places.near, places.far))
    return before * near, after * far


class PhotoModel(nn.Module):
    """A model that takes photos of any size, in pixels, and answers in these pixels.

    Args:
        model: predicts from inputs of side `size`; its `flip` is heeded.
        crop: as in training.
        size: S.
        num_points: K.
        unlabelled: points that no training face had a label of: they are NaN.
    """

    def __init__(
        self,
        model: Landmarker,
        crop: Crop | BoxCrop,
        size: int,
        num_points: int,
        unlabelled: list[int],
    ):
        super().__init__()
        self.model, self.crop, self.size = model, crop, size
        known = torch.zeros(num_points)
        known[unlabelled] = torch.nan
        self.register_buffer("known", known[:, None], persistent=False)

    def forward(self, images: Tensor, boxes: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return points (N, K, 2) float32 in the photos' pixels, and confidence (N, K).

        Args:
            images: (N, H, W, 3) uint8 RGB.
            boxes: (N, 4) float32, x0, y0, x1, y1, of a model trained with crop=box.
        """
        width, height = (
            torch.full((), images.shape[axis], dtype=torch.float64, device=images.device)
            for axis in (2, 1)
        )
        lengths = width, height
        if isinstance(self.crop, BoxCrop):
            axes = [place_boxes(boxes, self.crop.margin, lengths, i, self.size) for i in (0, 1)]
        else:
            axes = [place_whole(self.crop, lengths, i, self.size) for i in (0, 1)]
        inputs = sample(images, *axes, not isinstance(self.crop, BoxCrop))
        points, confidence = self.look(inputs)
        scale, shift = (
            torch.stack([getattr(places, name) for places in axes], -1)
            for name in ("scale", "shift")
        )
        if self.model.tells_spread:
            confidence = confidence * scale.prod(2).sqrt().float()
        points = (points.double() * scale + shift).float()
        return points + self.known, confidence

    def look(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return points (N, K, 2) in input pixels and their confidence, as `Landmarker` does."""
        if self.model.flip is None:
            return self.decode(inputs)
        points, sure = self.decode(torch.cat([inputs, inputs.flip(3)]))
        count = inputs.shape[0]
        found, mirrored = (points[:count], sure[:count]), (points[count:], sure[count:])
        mean, known = merge(self.model.flip, self.size, found, mirrored)
        if self.model.tells_spread:
            return mean, torch.linalg.vector_norm(found[0] - mean, dim=2)
        return mean, known

    def decode(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return points and confidence of inputs; of heatmaps, without tiles over the batch."""
        features, head = self.model.extract(inputs), self.model.head
        if not isinstance(head, HeatmapHead):
            return head.decode(features)
        maps, found = features[-1], []
        chunk = max(1, ROOM // (maps.shape[2] * maps.shape[3]))
        for weight, bias in zip(head.weight.split(chunk), head.bias.split(chunk), strict=True):
            some = nn.functional.conv2d(maps, weight[..., None, None], bias)
            found.append(head.decoder(some, head.sigma, max(head.schedule)))
        cells, confidence = (torch.cat(parts, 1) for parts in zip(*found, strict=True))
        return to_pixels(cells, self.size / maps.shape[-1]), confidence
