"""Augmentation: one matrix a face moves pixels and points together; then light and damage.

Everything random is drawn on the host, a handful of numbers a face, from the seed and the step
alone: a batch is the same whatever the number of reading processes, and after a resume. The work is
done on the device, for the whole batch at once, and what is launched there depends on no number.
"""

import math
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from landmarks.augment.damage import add_noise, erase, jpeg_tables, make_blocks, noise_tile
from landmarks.augment.random_draws import Columns, Draw, Drawn, Work
from landmarks.augment.warp import (
    added_variance,
    centre,
    largest_added_variance,
    pixel_grid,
    sample,
    sampling_matrices,
    smooth,
    smoothing_steps,
    smoothing_taps,
)
from landmarks.devices import move, send
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
        input_size: side S of the input, in pixels.
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
        input_size: int,
        permutation: np.ndarray | None = None,
        seed: Count = 0,
    ):
        self.shift, self.scale, self.rotate, self.shear = shift, scale, rotate, shear
        self.flip = flip if permutation is not None else 0.0
        self.brightness, self.contrast, self.saturation = brightness, contrast, saturation
        self.gamma, self.grey = gamma, grey
        self.degrade, self.blur, self.noise, self.blocks = degrade, blur, noise, blocks
        self.erase, self.erase_size = erase, erase_size
        self.input_size, self.seed = input_size, seed
        self.has_noise, self.has_blocks = bool(degrade and noise), bool(degrade and blocks)
        self.has_erased = bool(erase and erase_size)
        self.has_colour = any((brightness, contrast, saturation, grey))
        self.columns = Columns(
            theta=6 * self.moves,
            matrices=6 * self.moves,
            flipped=bool(self.flip),
            taps=2 * self.most(1).smoothing,
            gamma=bool(gamma),
            colour=9 * self.has_colour,
            offset=9 * self.has_colour,
            noise_places=3 * self.has_noise,
            noise=self.has_noise,
            blocks_places=self.has_blocks,
            blocks=self.has_blocks,
            boxes=4 * self.has_erased,
            covers=3 * self.has_erased,
        )
        tables = {
            "grid": pixel_grid(input_size) if self.moves else None,
            "permutation": torch.from_numpy(permutation) if self.flip else None,
            "pixels": torch.arange(input_size) if self.has_noise or self.has_erased else None,
            "tile": noise_tile(2 * input_size, seed) if self.has_noise else None,
            "jpeg": jpeg_tables() if self.has_blocks else None,
        }
        self.tables = {name: table for name, table in tables.items() if table is not None}
        self.placed: dict[torch.device, dict[str, Tensor]] = {}

    @property
    def moves(self) -> bool:
        """Are points moved at all?"""
        return any((self.shift, self.scale, self.rotate, self.shear, self.flip))

    @property
    def is_on(self) -> bool:
        """Is anything changed at all?"""
        is_blurred = bool(self.degrade and self.blur)
        return self.moves or is_blurred or self.columns.width > 0

    def place(self, device: torch.device) -> dict[str, Tensor]:
        """Return the tables that no batch changes, on a device as a tensor names its own.

        They are copied there once, and stay for good: a captured graph knows them by their address.
        """
        if device not in self.placed:
            self.placed[device] = {name: move(table, device) for name, table in self.tables.items()}
        return self.placed[device]

    def __call__(
        self, images: Tensor, points: Tensor, step: int, part: tuple[int, int] = (0, 1)
    ) -> tuple[Tensor, Tensor]:
        """Return the batch's images (B, 3, S, S) float32, 0..255, and points (B, K, 2).

        Args:
            images: (B, 3, C, C) uint8 with the input in the middle; C - S is even. The margin
                around the input may be moved into it.
            points: (B, K, 2) float32, input pixels; NaN stays NaN. No point is dropped or clipped.
                Their order changes only where left and right change places.
            step: number of the training step.
            part: see `draw`.
        """
        numbers, work = self.draw(len(images), step, images.shape[-1], part)
        return self.apply(images, points, send(numbers, images.device), work)

    def draw(self, count: int, step: int, side: int, part: tuple[int, int] = (0, 1)) -> Drawn:
        """Return the numbers of a batch, (B, P) float32 on the host, and the work they need.

        Args:
            count: faces in the batch.
            step: number of the training step.
            side: C of its images.
            part: (number, of): the batch is this one of so many equal parts of a larger batch, for
                which everything is drawn together.
        """
        part, count = slice(part[0] * count, (part[0] + 1) * count), count * part[1]
        draw = Draw(count, self.seed, step)
        matrices, flipped = self._draw_matrices(draw)
        blurred, noisy, blocky = (draw.chosen(self.degrade) for _ in range(3))
        sigma = blurred * draw.uniform(0, self.blur)
        colour, contrast, gamma = self._draw_light(draw)
        variance = sigma**2 + added_variance(matrices)
        steps, most = smoothing_steps(variance.max()), self.most(count)
        groups = {
            "theta": sampling_matrices(matrices, self.input_size, side),
            "matrices": matrices,
            "flipped": flipped,
            # A batch that takes no step is not changed by one either.
            "taps": smoothing_taps(variance if steps else 0 * variance, most.smoothing),
            "gamma": gamma,
            "colour": contrast * colour,
            "offset": (1 - contrast) * colour,
        }
        if self.has_noise:
            groups["noise_places"], groups["noise"] = draw.places(
                noisy, self.noise, self.input_size
            )
        if self.has_blocks:
            places, groups["blocks"] = draw.places(blocky, self.blocks)
            groups["blocks_places"] = places[:, 0]
        if self.has_erased:
            rectangles = draw.rectangles(self.erase, self.erase_size, self.input_size)
            groups["boxes"], groups["covers"] = rectangles
        numbers = self.columns.pack(count, groups)
        work = Work(steps, int(noisy[part].sum()), int(blocky[part].sum()))
        most = self.most(part.stop - part.start)
        return Drawn(self.columns.cut(numbers, part), Work(*map(min, work, most)))

    def most(self, count: int) -> Work:
        """Return the work that is enough for any batch of so many faces, by the settings alone."""
        blur = self.blur if self.degrade else 0.0
        largest = blur**2 + largest_added_variance(self.scale)
        steps = smoothing_steps(largest * (1 + 1e-9))  # above what rounding may give a batch
        return Work(steps, count * self.has_noise, count * self.has_blocks)

    @torch.no_grad()
    def apply(
        self, images: Tensor, points: Tensor, numbers: Tensor, work: Work
    ) -> tuple[Tensor, Tensor]:
        """Do what was drawn, on the device; return as a call does.

        What is launched depends on the settings and on `work` alone, and nothing is copied from the
        host after `place`: with `most(B)` for the work it can be captured as a CUDA graph.

        Args:
            images, points: as for a call.
            numbers: (B, P) of `draw`, on the device of the images.
            work: the batch's own, or more: the result is the same.
        """
        tables, drawn = self.place(images.device), self.columns.unpack(numbers)
        images = images.to(torch.float32, copy=True)
        if work.smoothing:
            taps = drawn["taps"][:, : 2 * work.smoothing]
            images = smooth(images, taps.view(-1, work.smoothing, 2))
        if self.moves:
            images = self._move_pixels(images, drawn, tables)
            points = self._move_points(points, drawn, tables)
        else:
            images = centre(images, self.input_size)
        images = self._light(images, drawn)
        if work.noisy:
            places, noise = drawn["noise_places"][: work.noisy], drawn["noise"][: work.noisy]
            images = add_noise(images, tables["tile"], tables["pixels"], places, noise)
        if work.blocky:
            which, blocks = drawn["blocks_places"][: work.blocky], drawn["blocks"][: work.blocky]
            images = make_blocks(images, tables["jpeg"], which, blocks)
        if self.has_erased:
            images = erase(images, tables["pixels"], drawn["boxes"], drawn["covers"])
        return images.clamp_(0, 255), points

    def _move_pixels(self, images: Tensor, drawn: dict, tables: dict) -> Tensor:
        moved = sample(images, drawn["theta"].view(-1, 2, 3), tables["grid"])
        if any((self.shift, self.scale, self.rotate, self.shear)):
            return moved
        # In a batch in which no face is mirrored, no pixel is interpolated.
        return torch.where(drawn["flipped"].amax() > 0, moved, centre(images, self.input_size))

    def _move_points(self, points: Tensor, drawn: dict, tables: dict) -> Tensor:
        points = transform(drawn["matrices"].view(-1, 2, 3), points)
        if self.flip:
            mirrored = drawn["flipped"].unsqueeze(2) > 0
            points = torch.where(mirrored, points[:, tables["permutation"]], points)
        return points

    def _light(self, images: Tensor, drawn: dict) -> Tensor:
        if self.gamma:
            power = drawn["gamma"].view(-1, 1, 1, 1)
            images = images.clamp_min(0.5).div_(255).pow_(power).mul_(255)
        if self.has_colour:
            # One matrix a face; contrast scales colours about the face's own mean colour.
            means = images.mean((2, 3)).unsqueeze(2)
            offset = torch.bmm(drawn["offset"].view(-1, 3, 3), means)
            colour = drawn["colour"].view(-1, 3, 3)
            images = torch.baddbmm(offset, colour, images.flatten(2)).view_as(images)
        return images

    def _draw_matrices(self, draw: Draw) -> tuple[np.ndarray, np.ndarray]:
        """Return (B, 2, 3), input pixels to input pixels, and (B,), 1 where mirrored."""
        zoom = draw.factor(self.scale)
        angle = draw.uniform(-1, 1) * math.radians(self.rotate)
        slant = draw.uniform(-1, 1) * self.shear
        moved = [draw.uniform(-1, 1) * self.shift * self.input_size for _ in range(2)]
        flipped = draw.chosen(self.flip)
        mirror = 1 - 2 * flipped
        cosine, sine = zoom * np.cos(angle), zoom * np.sin(angle)
        # Mirrored about the input's middle first, x -> S - 1 - x; then slanted, turned and scaled.
        linear = np.stack(
            [cosine * mirror, cosine * slant - sine, sine * mirror, sine * slant + cosine], 1
        ).reshape(-1, 2, 2)
        middle = np.full((2, 1), (self.input_size - 1) / 2)
        shift = middle - linear @ middle + np.stack(moved, 1)[..., None]
        return np.concatenate([linear, shift], 2), flipped

    def _draw_light(self, draw: Draw) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (B, 3, 3) colour matrices, (B, 1, 1) contrasts and (B,) gammas."""
        saturation = draw.factor(self.saturation) * (1 - draw.chosen(self.grey))
        saturation = saturation[:, None, None]
        colour = saturation * np.eye(3) + (1 - saturation) * np.array(LUMA)
        bright = draw.factor(self.brightness)
        contrast = draw.factor(self.contrast)[:, None, None]
        return colour * bright[:, None, None], contrast, draw.factor(self.gamma)
