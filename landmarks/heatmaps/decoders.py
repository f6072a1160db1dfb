"""Decoders: predicted heatmaps to points.

A heatmap is exp(-((i - mx)^2 + (j - my)^2) / (2 sigma^2)) at whole cells i (column) and j (row),
with a real-valued centre (mx, my). Every decoder takes

    maps (B, K, H, W): any float type, in any memory order; channels last is never copied
    sigma: of the targets, in cells; a number or a 0-dim tensor on the device of the maps

and returns `points` (B, K, 2) float32, (x, y) in cells, and `confidence` (B, K) float32, the
largest cell clamped to 0..1. Both are NaN where the largest cell is not finite, and finite
everywhere else. Nothing waits for a device. A point outside the map is found beyond the border, up
to the larger of 1.5 cells and sigma.

It does so in two stages. The first reads a map once and keeps little of it; the second makes points
of what is kept of many maps. So a head that holds a tile of its maps at once decodes all of them
with few launches a tile, see `Decoder.decode_tiles`.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from landmarks.heatmaps.map_peaks import (
    RADIUS,
    REACH,
    Window,
    find_peak,
    fit_quadratic,
    gather_window,
    open_window,
)

MIN_REACH = 1.5  # cells
KERNEL = 1.5  # sigmas: of the Gaussian that says which cells are the peak's
NEWTON_STEPS = 4
TINY = torch.finfo(torch.float32).tiny
FLOOR = 0.1  # of the largest cell: below it, the logarithm of a cell is mostly noise
SQUARINGS = 6  # of all cells, whose mean is the peak then: only those close to the largest count
MAX_SHIFT = 1.0  # cells that the peak may lie beside the largest one
TAPER = 4.0  # weights fall to 0 over the last quarter of the window's half
# Maps finished at once. On a CPU what is kept of them should stay in the cache.
FINISHED = {"cpu": 2**10, "cuda": 2**16}
# Maps are finished in multiples of so many. A CPU adds up whole groups of columns in another order
# than those left over, so that a point's last digit would depend on its place in the batch.
LANES = 64
ROWS = {"cpu": 1, "cuda": 16}  # of a map, that `weighted` reads at once


@dataclass(frozen=True)
class Decoder:
    """A decoder in its two stages; called with maps and sigma, it is both of them.

    Attributes:
        read: takes maps (b, k, H, W) and the window, and returns what is kept of them: tensors
            (b, k, ...), first the largest values and their cells, see `find_peak`. They are at most
            225 values a map in the maps' number format, or 2 rows of it in float32.
        finish: takes what is kept of any maps, the window, H and W, and returns points and
            confidence. It holds about ten times as much as is kept.
    """

    read: Callable[[Tensor, Window], tuple[Tensor, ...]]
    finish: Callable[[list[Tensor], Window, int, int], tuple[Tensor, Tensor]]

    def __call__(
        self, maps: Tensor, sigma: float | Tensor, max_sigma: float | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return points and confidence of maps (B, K, H, W).

        Args:
            max_sigma: where sigma is a tensor, what it never exceeds: less is read of a map.
        """
        window = open_window(sigma, maps.device, max_sigma)
        return self.finish(self.read(maps, window), window, *maps.shape[2:])

    def decode_tiles(
        self,
        tiles: Iterable,
        batch: int,
        landmarks: int,
        sigma: float | Tensor,
        max_sigma: float | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return points (B, K, 2) and confidence (B, K) of maps that come tile by tile.

        Args:
            tiles: (images, landmarks, maps): two slices of B and K, and the maps (b, k, H, W) of
                these; together all of them.
            batch, landmarks: B and K.
            sigma, max_sigma: as above.

        A map's point is the same to the bit in every batch.
        """
        count = batch * landmarks
        window, kept, views = None, [], []
        for part, some, maps in tiles:
            if window is None:
                window = open_window(sigma, maps.device, max_sigma)
                height, width = maps.shape[2:]
            found = self.read(maps, window)
            if not kept:  # in the order of the maps' memory: landmarks last
                kept = [v.new_zeros(*v.shape[2:], count + -count % LANES) for v in found]
                views = [
                    values[..., :count].unflatten(-1, (batch, landmarks)).movedim((-2, -1), (0, 1))
                    for values in kept
                ]
            for view, values in zip(views, found, strict=True):
                view[part, some] = values
        size = FINISHED.get(maps.device.type, FINISHED["cuda"])
        done = [
            self.finish([v.movedim(-1, 0)[None] for v in some], window, height, width)
            for some in zip(*(values.split(size, -1) for values in kept), strict=True)
        ]
        points, confidence = (torch.cat(parts, 1)[0, :count] for parts in zip(*done, strict=True))
        return points.unflatten(0, (batch, landmarks)), confidence.unflatten(0, (batch, landmarks))


def _read_peak(maps: Tensor, window: Window) -> tuple[Tensor, ...]:
    return find_peak(maps)


def _read_window(maps: Tensor, window: Window) -> tuple[Tensor, ...]:
    """Return also the window's values (b, k, n * n), row by row."""
    peak, cell = find_peak(maps)
    return peak, cell, gather_window(maps, cell, window)


def _read_sums(maps: Tensor, window: Window) -> tuple[Tensor, ...]:
    """Return also the weighted sums over each column (b, k, W), and those times the row."""
    height, width = maps.shape[2:]
    peak, cell = find_peak(maps)
    rows = torch.arange(height, device=maps.device)[:, None, None] - cell // width
    near = _kernel(rows, window.sigma)
    count = math.gcd(height, ROWS.get(maps.device.type, ROWS["cuda"]))
    weights = (values.permute(1, 2, 0)[..., None].split(count, 2) for values in (near, rows * near))
    columns = moments = torch.zeros((), device=maps.device)
    # Some rows at a time: sums over two of four dimensions, last channels first, are many times
    # slower, and all rows at once would take the memory of a tile in float32.
    for part, weight, lever in zip(maps.split(count, 2), *weights, strict=True):
        part = part.float().clamp(min=0)
        columns = torch.addcmul(columns, part, weight)
        moments = torch.addcmul(moments, part, lever)
    sums = (values.sum(2) if count > 1 else values.squeeze(2) for values in (columns, moments))
    return peak, cell, *sums


def _finish_argmax(
    kept: list[Tensor], window: Window, height: int, width: int
) -> tuple[Tensor, Tensor]:
    """Return the largest cell, the first of several; sigma is not needed."""
    peak, cell = kept
    return _answer(torch.stack([cell % width, cell // width], dim=2).float(), peak)


def _finish_weighted(
    kept: list[Tensor], window: Window, height: int, width: int
) -> tuple[Tensor, Tensor]:
    """Return the expectation over all cells, weighted by nearness to the largest one.

    Weights are the map, negative cells taken as 0, times a Gaussian of KERNEL sigmas about the
    largest cell: noise far away would move the mean. The product of two Gaussians is a Gaussian
    whose centre divides the way between theirs in a known ratio, so the map's own centre follows.
    The bias of a map that the border cuts off is undone as in `local`.

    Source: the kernel soft-argmax of Lee et al., SFNet: Learning Object-Aware Semantic
    Correspondence, CVPR 2019, freed of its bias towards the largest cell.
    """
    peak, cell, columns, moments = kept
    x, y, sigma = cell % width, cell // width, window.sigma
    rows = torch.arange(height, device=cell.device)[:, None, None] - y
    steps = torch.arange(width, device=cell.device) - x[..., None]
    near = _kernel(steps, sigma)
    columns, moments = columns * near, moments * near
    total = columns.sum(2).clamp(min=TINY)
    means = (columns * steps).sum(2) / total, moments.sum(2) / total
    grown = 1 + KERNEL**-2  # distance from the largest cell: the map's centre over the product's
    reach = sigma.clamp(min=MIN_REACH) / grown
    narrow = sigma / math.sqrt(grown)
    x_step, y_step = (
        _undo_truncation(mean, cells.float(), narrow, -reach, reach)
        for mean, cells in zip(means, (steps.permute(2, 0, 1), rows), strict=True)
    )
    return _answer(torch.stack([x + grown * x_step, y + grown * y_step], dim=2), peak)


def _finish_local(
    kept: list[Tensor], window: Window, height: int, width: int
) -> tuple[Tensor, Tensor]:
    """Return the expectation in a window about the largest cell, without its truncation bias.

    Negative cells are taken as 0. `_undo_truncation` removes the bias of window and border.
    """
    peak, cell, values = kept
    x, y, sigma = cell % width, cell // width, window.sigma
    end = (2 * sigma).clamp(min=2)
    offsets, values, on_map = _look(values, x, y, window, end, height, width)
    profiles = torch.stack([values.sum(0), values.sum(1)], dim=1)
    mean = (profiles * offsets).sum(0) / profiles.sum(0).clamp(min=TINY)
    cells = torch.where(on_map, offsets, torch.inf)
    reach = sigma.clamp(min=MIN_REACH)
    x_step, y_step = _undo_truncation(mean, cells, sigma, -reach, reach)
    return _answer(torch.stack([x + x_step, y + y_step], dim=2), peak)


def _finish_dark(
    kept: list[Tensor], window: Window, height: int, width: int
) -> tuple[Tensor, Tensor]:
    """Return the maximum of a quadratic fitted to the logarithm about the peak.

    As in DARK, the point is m - H^-1 g with gradient g and Hessian H of the log map at the largest
    cell m. The paper blurs the map and takes central differences, which needs cells on either side:
    at the border it keeps the cell. Here g and H are those of a weighted least-squares fit. It is
    exact for a Gaussian wherever its centre lies, with less noise than after the blur. Weights are
    the map times a Gaussian: the noise of a logarithm grows as a cell gets smaller, and the map
    alone would favour cells that noise has raised. Where the cells do not determine the
    curvature, as on one side of a border, it is the targets', -1 / sigma^2. Where the fit has no
    maximum, and below sigma 0.9 for points a whole cell outside, the answer is the largest cell.
    The step is at most the larger of 1.5 cells and sigma on either axis.

    Weights lie about the peak, a mean of the highest cells, and end where it is the same window
    about the next cell. So it does not matter which of two cells is the larger by the last digit.

    Source: Zhang et al., Distribution-Aware Coordinate Representation for Human Pose Estimation,
    CVPR 2020, eq. 9.
    """
    highest, cell, values = kept
    x, y, sigma = cell % width, cell // width, window.sigma
    end = torch.minimum((REACH * sigma).clamp(min=2.5), (RADIUS + 1) * window.step - MAX_SHIFT)
    offsets, values, _ = _look(values, x, y, window, end + MAX_SHIFT, height, width)
    values = values / highest.float().clamp(min=TINY)
    peak = _find_middle(values, offsets)
    from_peak = offsets - peak  # (n, 2, B, K)
    near = _kernel(from_peak, sigma) * (TAPER * (1 - from_peak.abs() / end)).clamp(0, 1)
    weights = (values - FLOOR).clamp(min=0) * near[:, 1, None] * near[:, 0]
    u = offsets[:, 0] / sigma
    # The map's logarithm less that of the expected Gaussian is linear: its curvature is 0.
    rest = values.clamp(min=FLOOR).log() + (u.square() + u[:, None].square()) / 2
    gradient, curvature = fit_quadratic(rest, weights, u)
    # The negative Hessian, in units of 1 / sigma^2.
    xx, xy, yy = 1 - curvature[..., 0], -curvature[..., 1], 1 - curvature[..., 2]
    determinant = xx * yy - xy.square()
    gx, gy = gradient.unbind(-1)
    step = torch.stack([yy * gx - xy * gy, xx * gy - xy * gx], dim=-1) / determinant[..., None]
    proper = (xx > 0) & (determinant > 1e-3)
    reach = sigma.clamp(min=MIN_REACH)
    step = torch.where(proper[..., None], step * sigma, 0).clamp(-reach, reach)
    return _answer(torch.stack([x, y], dim=2) + step, highest)


argmax = Decoder(_read_peak, _finish_argmax)
weighted = Decoder(_read_sums, _finish_weighted)
local = Decoder(_read_window, _finish_local)
dark = Decoder(_read_window, _finish_dark)
DECODERS = {"argmax": argmax, "weighted": weighted, "local": local, "dark": dark}


def _kernel(offsets: Tensor, sigma: Tensor) -> Tensor:
    return torch.exp((offsets / (KERNEL * sigma)).square() / -2)


def _answer(points: Tensor, peak: Tensor) -> tuple[Tensor, Tensor]:
    """Return points (B, K, 2) and confidence (B, K), NaN where the peak (B, K) is not finite."""
    peak = peak.float()
    is_number = peak.isfinite()
    points = torch.where(is_number[..., None], points, torch.nan)
    return points, torch.where(is_number, peak.clamp(0, 1), torch.nan)


def _find_middle(values: Tensor, offsets: Tensor) -> Tensor:
    """Return the mean offset (2, B, K) of the highest cells, x and y, at most MAX_SHIFT."""
    high = values
    for _ in range(SQUARINGS):
        high = high.square()
    profiles = torch.stack([high.sum(0), high.sum(1)], dim=1)
    mean = (profiles * offsets).sum(0) / profiles.sum(0).clamp(min=TINY)
    return mean.clamp(-MAX_SHIFT, MAX_SHIFT)


def _look(
    values: Tensor, x: Tensor, y: Tensor, window: Window, end: Tensor, height: int, width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return offsets, values and on_map of the window about the cells x, y (B, K).

    The window ends `end` cells beside them.

    offsets (n, 1, 1, 1) are in cells. values (n, n, B, K) are by row and column, 0 where negative,
    NaN or not in the window. on_map (n, 2, B, K) says whether the column, the row is in the window.
    Window cells come first, as sums over them are then fast.
    """
    offsets = window.offsets
    values = values.unflatten(2, (len(offsets), -1)).permute(2, 3, 0, 1).contiguous().float()
    values = values.nan_to_num(nan=0.0).clamp(0.0, 1e6)
    columns, rows = x[..., None] + offsets, y[..., None] + offsets
    near = offsets.abs() <= end
    on_columns = (near & (columns >= 0) & (columns < width)).permute(2, 0, 1)
    on_rows = (near & (rows >= 0) & (rows < height)).permute(2, 0, 1)
    values = values * (on_rows[:, None] & on_columns)
    on_map = torch.stack([on_columns, on_rows], dim=1)
    return offsets.float()[:, None, None, None], values, on_map


def _undo_truncation(
    mean: Tensor, cells: Tensor, sigma: Tensor, low: Tensor, high: Tensor
) -> Tensor:
    """Return the centre (...), from low to high, of the Gaussian with this mean over these cells.

    mean (...) is the mean of a Gaussian truncated to a window; cells (n, ...) are the window's
    cells on this axis, infinite where not in it.

    A Gaussian is separable and so is the window. Newton's method: the derivative of the mean is
    variance / sigma^2. A map broader than sigma is truncated more than this assumes: its centre is
    moved in the right direction, but not far enough.
    """
    known = torch.where(cells.isfinite(), cells, 0)
    centre = mean
    for _ in range(NEWTON_STEPS):
        shares = torch.softmax(((cells - centre) / sigma).square() / -2, dim=0)
        expected = (shares * known).sum(0)
        variance = (shares * (known - expected).square()).sum(0)
        step = (mean - expected) * (sigma.square() / variance.clamp(min=1e-6))
        centre = torch.clamp(centre + step, low, high)
    return centre
