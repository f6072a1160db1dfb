"""Decoders: predicted heatmaps to points.

A heatmap is exp(-((i - mx)^2 + (j - my)^2) / (2 sigma^2)) at the whole cells i (column) and j (row),
with a real-valued centre (mx, my). Every decoder takes

    maps (B, K, H, W): any float type, in any memory order; channels last is never copied
    sigma: of the targets, in cells; a number or a 0-dim tensor on the device of the maps

and returns `points` (B, K, 2) float32, (x, y) in cells, and `confidence` (B, K) float32, the largest
cell clamped to 0..1. Points are finite whatever the maps hold, and no device is asked for a value.
A point outside is followed up to the larger of 1.5 cells and sigma beyond the border.
"""

import torch
from torch import Tensor
from torch.nn import functional

RADIUS = 5  # taps on either side of the largest cell
MIN_REACH = 1.5  # cells
NEWTON_STEPS = 4
TINY = torch.finfo(torch.float32).tiny
FLOOR = 0.1  # of the largest cell: below it, the logarithm of a cell is mostly noise
PRIOR = 0.02  # weight of the known curvature, in all cells' weight


def argmax(maps: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest cell, the first of several; sigma is not needed."""
    peak, x, y = _find_peak(maps)
    return torch.stack([x, y], dim=2).float(), _confidence(peak)


def weighted(maps: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
    """Return the expectation over all cells, negative ones taken as 0, freed of truncation.

    The border cuts off a part of the Gaussian and draws the mean inwards; `_undo_truncation` takes
    that back. Far noise weighs as much as the peak: prefer `local` or `dark`.
    """
    height, width = maps.shape[2:]
    columns = torch.zeros_like(maps[:, :, 0], dtype=torch.float32)
    moments = torch.zeros_like(columns)
    # Row by row: sums over two of four dimensions, last channels first, are many times slower.
    for y, row in enumerate(maps.unbind(2)):
        row = row.float().clamp(min=0)
        columns = columns.add_(row)
        moments = moments.add_(row, alpha=y)
    total = columns.sum(2)
    sigma = _as_tensor(sigma, maps)
    reach = sigma.clamp(min=MIN_REACH)
    axes = []
    for size, moment in (
        (width, (columns * torch.arange(width, device=maps.device)).sum(2)),
        (height, moments.sum(2)),
    ):
        mean = moment / total
        mean = torch.where(mean.isfinite(), mean, (size - 1) / 2)  # of an empty map: its centre
        cells = torch.arange(size, device=maps.device, dtype=torch.float32)
        axes.append(_undo_truncation(mean, cells, sigma, -reach, size - 1 + reach))
    return torch.stack(axes, dim=2), _confidence(_find_peak(maps)[0])


def local(maps: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
    """Return the expectation in a window about the largest cell, freed of truncation.

    Negative cells are taken as 0. See `_undo_truncation` for the window's and the border's bias.
    """
    peak, x, y = _find_peak(maps)
    sigma, offsets, values, inside = _gather_window(maps, x, y, sigma)
    values = torch.where(inside, values.clamp(min=0), 0)
    total = values.sum((2, 3)).clamp(min=TINY)
    mean = torch.stack([values.sum(2), values.sum(3)], dim=2).mul(offsets).sum(3) / total[..., None]
    taken = torch.stack([inside.any(2), inside.any(3)], dim=2)
    cells = torch.where(taken, offsets, torch.inf)
    reach = sigma.clamp(min=MIN_REACH)
    step = _undo_truncation(mean, cells, sigma, -reach, reach)
    return torch.stack([x, y], dim=2) + step, _confidence(peak)


def dark(maps: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
    """Return the maximum of a quadratic fitted to the logarithm about the largest cell.

    As in DARK, the point is m - H^-1 g with gradient g and Hessian H of the log map at the largest
    cell m. The paper blurs the map and takes central differences, which needs cells on either side:
    at the border it leaves the cell as it is, and beyond it the maximum is elsewhere. Here g and H
    are those of a weighted least-squares fit, exact for a Gaussian wherever its centre lies, with
    as little noise as after the blur. Weights are the map times the Gaussian expected at m: the
    noise of a logarithm grows as the cell gets smaller, and weights that are noisy themselves would
    favour cells that noise has raised. Where cells on one side do not tell the curvature, that of
    the targets, -1 / sigma^2, is preferred. The cell itself is the answer where the fit has no
    maximum; the step is at most the larger of 1.5 cells and sigma, on each axis.

    Source: Zhang et al., Distribution-Aware Coordinate Representation for Human Pose Estimation,
    CVPR 2020, eq. 9.
    """
    peak, x, y = _find_peak(maps)
    sigma, offsets, values, inside = _gather_window(maps, x, y, sigma)
    values = values / peak.float().clamp(min=TINY)[..., None, None]
    usable = inside & (values > FLOOR)
    u = offsets / sigma
    bowl = (u.square() + u[:, None].square()) / 2
    # What remains of the expected Gaussian's logarithm is linear, so that a curvature is a surprise.
    rest = torch.where(usable, values, 1).log() + bowl
    weights = torch.where(usable, values, 0) * torch.exp(-bowl)
    gradient, curvature = _fit_quadratic(rest, weights, u)
    # The negative Hessian, in units of 1 / sigma^2: the expected one is 1, and the surprise.
    xx, xy, yy = 1 - curvature[..., 0], -curvature[..., 1], 1 - curvature[..., 2]
    determinant = xx * yy - xy.square()
    gx, gy = gradient.unbind(-1)
    step = torch.stack([yy * gx - xy * gy, xx * gy - xy * gx], dim=-1) / determinant[..., None]
    proper = (xx > 0) & (determinant > 1e-3)
    reach = sigma.clamp(min=MIN_REACH)
    step = torch.where(proper[..., None], step * sigma, 0).clamp(-reach, reach)
    return torch.stack([x, y], dim=2) + step, _confidence(peak)


DECODERS = {"argmax": argmax, "weighted": weighted, "local": local, "dark": dark}


def _as_tensor(sigma: float | Tensor, maps: Tensor) -> Tensor:
    """Return sigma as a float32 tensor; filled in there, a copy would wait for the device."""
    if isinstance(sigma, Tensor):
        return sigma.float()
    return torch.full((), sigma, device=maps.device)


def _confidence(peak: Tensor) -> Tensor:
    return peak.float().nan_to_num(nan=0.0).clamp(0, 1)


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
    """Return sigma, the offsets (n,) in cells, values and inside (B, K, n, n) about the cells x, y.

    Inside are the taps on the map within 2 sigma, at least 2 cells. Taps are sigma / 3 apart: the
    number of them does not depend on sigma, whose value only the device may know, and a Gaussian
    needs no more.
    """
    radius = RADIUS if isinstance(sigma, Tensor) else min(RADIUS, max(2, int(2 * sigma)))
    sigma = _as_tensor(sigma, maps)
    height, width = maps.shape[2:]
    taps = torch.arange(-radius, radius + 1, device=maps.device)
    offsets = taps * (sigma / 3).round().clamp(min=1).long()
    near = offsets.abs() <= (2 * sigma).clamp(min=2)
    columns, rows = x[..., None] + offsets, y[..., None] + offsets
    on_columns = near & (columns >= 0) & (columns < width)
    on_rows = near & (rows >= 0) & (rows < height)
    index = rows.clamp(0, height - 1)[..., None] * width + columns.clamp(0, width - 1)[..., None, :]
    values = maps.flatten(2).gather(2, index.flatten(2)).view(index.shape)
    inside = on_rows[..., None] & on_columns[..., None, :]
    return sigma, offsets.float(), values.float().nan_to_num(0.0, 0.0, 0.0), inside


def _undo_truncation(
    mean: Tensor, cells: Tensor, sigma: Tensor, low: Tensor, high: Tensor
) -> Tensor:
    """Return the centre (...) of the Gaussian whose mean over the given cells is the mean seen.

    Args:
        mean: (...), what was seen of a Gaussian through a window.
        cells: (n,) or (..., n), the window's cells on this axis; infinite is not in the window.
        low, high: what the centre is clamped to.

    A Gaussian is separable and so is the window. Newton's method: the derivative of the mean is
    variance / sigma^2. A map broader than sigma is cut more than this assumes: it is moved the
    right way, and less than all the way.
    """
    there = cells.isfinite()
    known = torch.where(there, cells, 0)
    centre = mean
    for _ in range(NEWTON_STEPS):
        logits = ((cells - centre[..., None]) / sigma).square() / -2
        shares = torch.softmax(logits, dim=-1)
        expected = (shares * known).sum(-1)
        variance = (shares * (known - expected[..., None]).square()).sum(-1)
        step = (mean - expected) * (sigma.square() / variance.clamp(min=1e-6))
        centre = torch.clamp(centre + step, low, high)
    return centre


def _fit_quadratic(values: Tensor, weights: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Return gradient (B, K, 2) and curvature (B, K, 3: xx, xy, yy) at 0 of the weighted fit.

    Args:
        values, weights: (B, K, n, n), rows before columns.
        u: (n,), the coordinates along either axis.

    The curvature is drawn to 0 by PRIOR. Products and sums, as matrix products may be rounded to
    bfloat16 or TF32.
    """

    def moments(field: Tensor, degree: int) -> list[list[Tensor]]:
        powers = [u**power for power in range(degree + 1)]
        by_x = [(field * power).sum(-1) for power in powers]
        return [[(column * power).sum(-1) for power in powers] for column in by_x]

    terms = [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2)]  # powers of x and y
    left, right = moments(weights, 4), moments(weights * values, 2)
    matrix = torch.stack(
        [torch.stack([left[a + c][b + d] for c, d in terms], dim=-1) for a, b in terms], dim=-2
    )
    prior = torch.full((6,), 1e-6, device=u.device)  # solvable with too few cells, or none
    prior[3:] = PRIOR
    matrix = matrix + torch.diag(prior) * left[0][0].clamp(min=1)[..., None, None]
    vector = torch.stack([right[a][b] for a, b in terms], dim=-1)
    # Unlike `solve`, `solve_ex` does not wait for the device to say that all went well.
    found = torch.linalg.solve_ex(matrix, vector)[0]
    xx, xy, yy = found[..., 3:].unbind(-1)
    return found[..., 1:3], torch.stack([2 * xx, xy, 2 * yy], dim=-1)
