"""Augmentation: one matrix a face moves pixels and points together; then light and damage.

Everything random is drawn on the host, a handful of numbers a face, from the seed and the step
alone: a batch is the same whatever the number of reading processes, and after a resume. The work is
done on the device, for the whole batch at once.
"""

import math
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from landmarks.augment.damage import add_noise, erase, jpeg_tables, make_blocks, noise_tile
from landmarks.augment.warp import to, warp
from landmarks.devices import move
from landmarks.geometry import transform
from landmarks.settings import ABOVE_ZERO, Count, Needs, NonNegative, Probability, Rule, Share

Blur = Annotated[float, Rule(lambda v: 0 <= v <= 1.5, "a number from 0 to 1.5")]
DEGRADED = Needs("degrade", ABOVE_ZERO)
LUMA = (0.299, 0.587, 0.114)  # grey of red, green, blue (ITU-R BT.601)


class Augment:
    """Random augmentation of a batch: images and points.

    Args:
        shift: at most, in x and in y; share of the input's side.
        scale: 0.2 scales between 1 / 1.2 and 1.2, uniform in the logarithm; at most 1.
        rotate: at most, degrees either way, about the input's centre.
        shear: at most; 0.1 slants by a tenth of the height.
        flip: probability of mirroring, which also exchanges left and right points.
        brightness: 0.3 multiplies by 1 / 1.3 to 1.3.
        contrast: likewise, about the face's own mean.
        saturation: likewise, about the pixel's own grey.
        gamma: likewise, the exponent.
        grey: probability of taking all colour away.
        degrade: probability of each of blur, noise and blocks.
        blur: largest sigma of a blur, in pixels, up to 1.5.
        noise: largest standard deviation of noise, in grey levels of 255.
        blocks: strongest JPEG-like quantisation, as a multiple of JPEG's own table; 1: quality 50.
        erase: probability of covering a rectangle with one colour.
        erase_size: its largest side; share of the input's.
        size: side S of the input, in pixels.
        permutation: (K,) point i of a mirrored face is point permutation[i] of the face; None: no
            face is mirrored.
        seed: of everything random.
    """

    def __init__(
        self,
        *,
        shift: NonNegative = 0.0,
        scale: Probability = 0.0,
        rotate: NonNegative = 0.0,
        shear: NonNegative = 0.0,
        flip: Probability = 0.0,
        brightness: NonNegative = 0.0,
        contrast: NonNegative = 0.0,
        saturation: NonNegative = 0.0,
        gamma: NonNegative = 0.0,
        grey: Probability = 0.0,
        degrade: Annotated[Probability, Needs(("blur", "noise", "blocks"), ABOVE_ZERO)] = 0.0,
        blur: Annotated[Blur, DEGRADED] = 0.0,
        noise: Annotated[NonNegative, DEGRADED] = 0.0,
        blocks: Annotated[NonNegative, DEGRADED] = 0.0,
        erase: Annotated[Probability, Needs("erase_size", ABOVE_ZERO)] = 0.0,
        erase_size: Annotated[Share, Needs("erase", ABOVE_ZERO)] = 0.0,
        size: int,
        permutation: np.ndarray | None = None,
        seed: Count = 0,
    ):
        self.shift, self.scale, self.rotate, self.shear = shift, scale, rotate, shear
        self.flip = flip if permutation is not None else 0.0
        self.brightness, self.contrast, self.saturation = brightness, contrast, saturation
        self.gamma, self.grey = gamma, grey
        self.degrade, self.blur, self.noise, self.blocks = degrade, blur, noise, blocks
        self.erase, self.erase_size = erase, erase_size
        self.size, self.seed = size, seed
        self.permutation = None if permutation is None else torch.from_numpy(permutation)
        # They stay on the device after their first use. Building them there would wait for it.
        self.tile = noise_tile(2 * size, seed) if degrade and noise else None
        self.tables = jpeg_tables() if degrade and blocks else None

    @property
    def moves(self) -> bool:
        """Are points moved at all?"""
        return any((self.shift, self.scale, self.rotate, self.shear, self.flip))

    @property
    def is_on(self) -> bool:
        """Is anything changed at all?"""
        light = (self.brightness, self.contrast, self.saturation, self.gamma, self.grey)
        damage = self.degrade and any((self.blur, self.noise, self.blocks))
        return self.moves or any(light) or bool(damage or (self.erase and self.erase_size))

    @torch.no_grad()
    def __call__(self, images: Tensor, points: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Return the batch's images (B, 3, S, S) float32, 0..255, and points (B, K, 2).

        Args:
            images: (B, 3, C, C) uint8 with the input in the middle; C - S is even. The margin
                around the input may be moved into it.
            points: (B, K, 2) float32, input pixels; NaN stays NaN. No point is dropped or clipped.
                Their order changes only where left and right change places.
            step: number of the training step.
        """
        draw = Draw(len(images), self.seed, step)
        matrices, flipped = self._draw_matrices(draw)
        blurred, noisy, blocky = (draw.chosen(self.degrade) for _ in range(3))
        sigma = blurred * draw.uniform(0, self.blur)
        colour, contrast, gamma = self._draw_light(draw)
        images = warp(images, matrices, self.size, sigma**2)
        points = self._move(points, matrices, flipped)
        images = self._light(images, colour, contrast, gamma)
        if self.tile is not None and noisy.any():
            self.tile = move(self.tile, images.device)
            which, strengths, corners = draw.places(noisy, self.noise, self.size)
            places = (to(which, images), to(strengths, images), to(corners, images))
            images = add_noise(images, self.tile, *places)
        if self.tables is not None and blocky.any():
            self.tables = move(self.tables, images.device)
            which, strengths, _ = draw.places(blocky, self.blocks)
            images = make_blocks(images, self.tables, to(which, images), to(strengths, images))
        if self.erase and self.erase_size:
            boxes, colours = draw.rectangles(self.erase, self.erase_size, self.size)
            images = erase(images, to(boxes, images), to(colours, images))
        return images.clamp_(0, 255), points

    def _move(self, points: Tensor, matrices: np.ndarray, flipped: np.ndarray) -> Tensor:
        if self.moves:
            points = transform(to(matrices, points), points)
        if self.flip:
            self.permutation = move(self.permutation, points.device)
            mirrored = to(flipped, points).view(-1, 1, 1) > 0
            points = torch.where(mirrored, points[:, self.permutation], points)
        return points

    def _draw_matrices(self, draw: "Draw") -> tuple[np.ndarray, np.ndarray]:
        """Return (B, 2, 3), input pixels to input pixels, and (B,), 1 where mirrored."""
        zoom = draw.factor(self.scale)
        angle = draw.uniform(-1, 1) * math.radians(self.rotate)
        slant = draw.uniform(-1, 1) * self.shear
        moved = [draw.uniform(-1, 1) * self.shift * self.size for _ in range(2)]
        flipped = draw.chosen(self.flip)
        mirror = 1 - 2 * flipped
        cosine, sine = zoom * np.cos(angle), zoom * np.sin(angle)
        # Mirrored about the input's middle first, x -> S - 1 - x; then slanted, turned and scaled.
        linear = np.stack(
            [cosine * mirror, cosine * slant - sine, sine * mirror, sine * slant + cosine], 1
        ).reshape(-1, 2, 2)
        middle = np.full((2, 1), (self.size - 1) / 2)
        shift = middle - linear @ middle + np.stack(moved, 1)[..., None]
        return np.concatenate([linear, shift], 2), flipped

    def _draw_light(self, draw: "Draw") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (B, 3, 3) colour matrices, (B,) contrasts and (B,) gammas."""
        saturation = draw.factor(self.saturation) * (1 - draw.chosen(self.grey))
        saturation = saturation[:, None, None]
        colour = saturation * np.eye(3) + (1 - saturation) * np.array(LUMA)
        bright = draw.factor(self.brightness)
        return colour * bright[:, None, None], draw.factor(self.contrast), draw.factor(self.gamma)

    def _light(
        self, images: Tensor, colour: np.ndarray, contrast: np.ndarray, gamma: np.ndarray
    ) -> Tensor:
        if self.gamma:
            power = to(gamma, images).view(-1, 1, 1, 1)
            images = 255 * (images.clamp_min(0.5) / 255) ** power
        if self.brightness or self.contrast or self.saturation or self.grey:
            # One matrix a face; contrast scales colours about the face's own mean colour.
            contrast = contrast[:, None, None]
            means = images.mean((2, 3)).unsqueeze(2)
            offset = to((1 - contrast) * colour, images) @ means
            flat = torch.baddbmm(offset, to(contrast * colour, images), images.flatten(2))
            images = flat.view_as(images)
        return images


class Draw:
    """Random numbers for a batch, one a face, on the host: from the seed and the step alone."""

    def __init__(self, count: int, seed: int, step: int):
        self.random, self.count = np.random.default_rng([seed, step]), count

    def uniform(self, low: float, high: float) -> np.ndarray:
        """Return (B,) uniform in low..high."""
        return self.random.uniform(low, high, self.count)

    def chosen(self, probability: float) -> np.ndarray:
        """Return (B,), 1.0 with this probability, else 0.0."""
        return (self.uniform(0, 1) < probability).astype(np.float64)

    def factor(self, strength: float) -> np.ndarray:
        """Return (B,) between 1 / (1 + strength) and 1 + strength, uniform in the logarithm."""
        return np.exp(self.uniform(-1, 1) * math.log1p(strength))

    def places(
        self, chosen: np.ndarray, strength: float, side: int = 1
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (n,) chosen faces, (n,) strengths up to `strength`, (n, 2) places in `side`."""
        which = np.flatnonzero(chosen)
        corners = np.stack([self.uniform(0, side), self.uniform(0, side)], 1).astype(np.int64)
        return which, self.uniform(0, strength)[which], corners[which]

    def rectangles(
        self, probability: float, largest: float, side: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (B, 4) rectangles within a square of `side` pixels and (B, 3) colours."""
        taken = self.chosen(probability)
        half = np.stack([self.uniform(0.05, 0.5) * largest * side for _ in range(2)], 1)
        middle = np.stack([self.uniform(0, side) for _ in range(2)], 1)
        boxes = np.concatenate([middle - half, middle + half], 1)
        boxes[taken == 0, 2] = -1.0 - side  # empty
        return boxes, np.stack([self.uniform(0, 255) for _ in range(3)], 1)
