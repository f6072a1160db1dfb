"""Decoders: predicted heatmaps to points.

A heatmap is exp(-((i - mx)^2 + (j - my)^2) / (2 sigma^2)) at whole cells i (column) and j (row),
with a real-valued centre (mx, my). Every decoder takes

    maps (B, K, H, W): any float type, in any memory order; channels last is never copied
    sigma: of the targets, in cells; a number or a 0-dim tensor on the device of the maps

and returns `points` (B, K, 2) float32, (x, y) in cells, and `confidence` (B, K) float32, the
largest cell clamped to 0..1. Both are NaN where the largest cell is not finite, and finite
everywhere else. Nothing waits for a device. A point outside the map is found beyond the border, up
to the larger of 1.5 cells and sigma.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from landmarks.heatmaps.quadratic import fit_quadratic

RADIUS = 5  # cells that are read on either side of the largest one
MIN_REACH = 1.5  # cells
KERNEL = 1.5  # sigmas: of the Gaussian that says which cells `weighted` takes for the peak
NEWTON_STEPS = 4
TINY = torch.finfo(torch.float32).tiny
FLOOR = 0.1  # of the largest cell: below it, the logarithm of a cell is mostly noise


def argmax(maps: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest cell, the first of several; sigma is not needed."""
    peak, x, y = _find_peak(maps)
    return _answer(torch.stack([x, y], dim=2).float(), peak)


def weighted(maps: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
    """Return the expectation over all cells, weighted by nearness to the largest one.

    Weights are the map, negative cells taken as 0, times a Gaussian of KERNEL sigmas about the
    largest cell: noise far away would move the mean. The product of two Gaussians is a Gaussian
    whose centre divides the way between theirs in a known ratio, so the map's own centre follows.
    The bias of a map that the border cuts off is undone as in `local`.

    Source: the kernel soft-argmax of Lee et al., SFNet: Learning Object-Aware Semantic
    Correspondence, CVPR 2019, freed of its bias towards the largest cell.
    """
    height, width = maps.shape[2:]
    peak, x, y = _find_peak(maps)
    sigma = _as_tensor(sigma, maps)
    columns = moments = torch.zeros((), device=maps.device)
    rows = torch.arange(height, device=maps.device)[:, None, None] - y
    near = _kernel(rows, sigma)
    weights = near[..., None], (rows * near)[..., None]
    # Row by row: sums over two of four dimensions, last channels first, are many times slower.
    for row, weight, lever in zip(maps.unbind(2), *weights, strict=True):
        row = row.float().clamp(min=0)
        columns = torch.addcmul(columns, row, weight)
        moments = torch.addcmul(moments, row, lever)
    steps = torch.arange(width, device=maps.device) - x[..., None]
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


def local(maps: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
    """Return the expectation in a window about the largest cell, without its truncation bias.

    Negative cells are taken as 0. `_undo_truncation` removes the bias of window and border.
    """
    peak, x, y = _find_peak(maps)
    sigma, offsets, values, on_map = _gather_window(maps, x, y, sigma)
    profiles = torch.stack([values.sum(0), values.sum(1)], dim=1)
    mean = (profiles * offsets).sum(0) / profiles.sum(0).clamp(min=TINY)
    cells = torch.where(on_map, offsets, torch.inf)
    reach = sigma.clamp(min=MIN_REACH)
    x_step, y_step = _undo_truncation(mean, cells, sigma, -reach, reach)
    return _answer(torch.stack([x + x_step, y + y_step], dim=2), peak)


def dark(maps: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
    """Return the maximum of a quadratic fitted to the logarithm about the largest cell.

    As in DARK, the point is m - H^-1 g with gradient g and Hessian H of the log map at the largest
    cell m. The paper blurs the map and takes central differences, which needs cells on either side:
    at the border it keeps the cell. Here g and H are those of a weighted least-squares fit, exact
    for a Gaussian wherever its centre lies, with as little noise as after the blur. Weights are the
    map times the Gaussian expected at m: the noise of a logarithm grows as a cell gets smaller, and
    the map alone would favour cells that noise has raised. Where the cells do not determine the
    curvature, as on one side of a border, it is the targets', -1 / sigma^2. Where the fit has no
    maximum, and below sigma 0.9 for points a whole cell outside, the answer is the largest cell.
    The step is at most the larger of 1.5 cells and sigma on either axis.

    Source: Zhang et al., Distribution-Aware Coordinate Representation for Human Pose Estimation,
    CVPR 2020, eq. 9.
    """
    peak, x, y = _find_peak(maps)
    sigma, offsets, values, _ = _gather_window(maps, x, y, sigma)
    values = values / peak.float().clamp(min=TINY)
    usable = values > FLOOR
    u = offsets[:, 0] / sigma
    bowl = (u.square() + u[:, None].square()) / 2
    # The map's logarithm less that of the expected Gaussian is linear: its curvature is 0.
    rest = values.clamp(min=FLOOR).log() + bowl
    weights = values * usable * torch.exp(-bowl)
    gradient, curvature = fit_quadratic(rest, weights, u)
    # The negative Hessian, in units of 1 / sigma^2.
    xx, xy, yy = 1 - curvature[..., 0], -curvature[..., 1], 1 - curvature[..., 2]
    determinant = xx * yy - xy.square()
    gx, gy = gradient.unbind(-1)
    step = torch.stack([yy * gx - xy * gy, xx * gy - xy * gx], dim=-1) / determinant[..., None]
    proper = (xx > 0) & (determinant > 1e-3)
    reach = sigma.clamp(min=MIN_REACH)
    step = torch.where(proper[..., None], step * sigma, 0).clamp(-reach, reach)
    return _answer(torch.stack([x, y], dim=2) + step, peak)


DECODERS = {"argmax": argmax, "weighted": weighted, "local": local, "dark": dark}


def _as_tensor(sigma: float | Tensor, maps: Tensor) -> Tensor:
    if isinstance(sigma, Tensor):
        return sigma.float()
    return torch.full((), float(sigma), device=maps.device)  # a copy would wait for the device


def _kernel(offsets: Tensor, sigma: Tensor) -> Tensor:
    return torch.exp((offsets / (KERNEL * sigma)).square() / -2)


def _answer(points: Tensor, peak: Tensor) -> tuple[Tensor, Tensor]:
    """Return points (B, K, 2) and confidence (B, K), NaN where the peak (B, K) is not finite."""
    peak = peak.float()
    is_number = peak.isfinite()
    points = torch.where(is_number[..., None], points, torch.nan)
    return points, torch.where(is_number, peak.clamp(0, 1), torch.nan)


def _find_peak(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the largest value and its column and row, the first of several, each (B, K).

    Pooling rows and then the one column left reads channels-last maps once, in order; on the CPU
    it is 5 to 20 times as fast as `Tensor.max` over the flattened cells.
    """
    height, width = maps.shape[2:]
    rows, cells = functional.max_pool2d(maps, (1, width), return_indices=True)
    peak, row = functional.max_pool2d(rows, (height, 1), return_indices=True)
    cell = cells.flatten(2).gather(2, row.flatten(2))[..., 0]
    return peak[..., 0, 0], cell % width, cell // width


def _gather_window(
    maps: Tensor, x: Tensor, y: Tensor, sigma: float | Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return sigma, offsets, values and on_map of the window about the cells x, y (B, K).

    offsets (n, 1, 1, 1) are in cells. values (n, n, B, K) are by row and column, 0 where negative,
    NaN or not in the window. on_map (n, 2, B, K) says whether the column, the row is in the window.
    Window cells come first, as sums over them are then fast. The window reaches over 2 sigma, at
    least 2 cells, at steps of sigma / 3: sigma may be known to the device alone, so the number of
    cells must not depend on it.
    """
    radius = RADIUS if isinstance(sigma, Tensor) else min(RADIUS, max(2, int(2 * sigma)))
    sigma = _as_tensor(sigma, maps)
    height, width = maps.shape[2:]
    offsets = torch.arange(-radius, radius + 1, device=maps.device)
    offsets = offsets * (sigma / 3).round().clamp(min=1).long()
    columns, rows = x[..., None] + offsets, y[..., None] + offsets
    index = rows.clamp(0, height - 1)[..., None] * width + columns.clamp(0, width - 1)[..., None, :]
    values = maps.flatten(2).gather(2, index.flatten(2)).view(index.shape)
    values = values.permute(2, 3, 0, 1).contiguous().float()
    values = values.nan_to_num(nan=0.0).clamp(0, 1e6)
    near = offsets.abs() <= (2 * sigma).clamp(min=2)
    on_columns = (near & (columns >= 0) & (columns < width)).permute(2, 0, 1)
    on_rows = (near & (rows >= 0) & (rows < height)).permute(2, 0, 1)
    values = values * (on_rows[:, None] & on_columns)
    on_map = torch.stack([on_columns, on_rows], dim=1)
    return sigma, offsets.float()[:, None, None, None], values, on_map


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
