"""Decoders: predicted heatmaps to points.

A heatmap is exp(-((i - mx)^2 + (j - my)^2) / (2 sigma^2)) at whole cells i (column) and j (row),
with a real-valued centre (mx, my). Every decoder takes

    maps (B, K, H, W): any float type, in any memory order; channels last is never copied
    sigma: of the targets, in cells; a number or a 0-dim tensor on the device of the maps

and returns `points` (B, K, 2) float32, (x, y) in cells, and `confidence` (B, K) float32, the
largest cell clamped to 0..1; both are NaN where the largest cell is not finite, which is a failure
for whoever asked, and finite whatever else the maps hold. Nothing waits for a device.
A point outside is followed beyond the border by the larger of 1.5 cells and sigma.
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
    return _answer(torch.stack([x, y], dim=2).float(), peak)


def weighted(maps: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
    """Return the expectation over all cells, negative ones taken as 0, freed of truncation.

    The border cuts off a part of the Gaussian and draws the mean inwards; `_undo_truncation` takes
    that back. Far noise weighs as much as the peak: prefer `local` or `dark`.
    """
    height, width = maps.shape[2:]
    columns = torch.zeros((), device=maps.device)
    moments = torch.zeros((), device=maps.device)
    # Row by row: sums over two of four dimensions, last channels first, are many times slower.
    for y, row in enumerate(maps.unbind(2)):
        row = row.float().clamp(min=0)
        columns = columns + row
        moments = torch.add(moments, row, alpha=y)
    total = columns.sum(2)
    sigma = _as_tensor(sigma, maps)
    reach = sigma.clamp(min=MIN_REACH)
    by_x = columns * torch.arange(width, device=maps.device)
    axes = []
    for size, moment in ((width, by_x), (height, moments)):
        mean = moment.sum(2) / total
        mean = torch.where(mean.isfinite(), mean, (size - 1) / 2)  # of an empty map: its centre
        cells = torch.arange(size, device=maps.device, dtype=torch.float32)[:, None, None]
        axes.append(_undo_truncation(mean, cells, sigma, -reach, size - 1 + reach))
    return _answer(torch.stack(axes, dim=2), _find_peak(maps)[0])


def local(maps: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
    """Return the expectation in a window about the largest cell, freed of truncation.

    Negative cells are taken as 0. See `_undo_truncation` for the window's and the border's bias.
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
    the map alone would favour cells that noise has raised. Where cells do not tell the curvature,
    as on one side of a border, it is the targets', -1 / sigma^2. The cell is the answer where the
    fit has no maximum, and below sigma 0.9 for points a whole cell outside; the step is at most the
    larger of 1.5 cells and sigma on either axis.

    Source: Zhang et al., Distribution-Aware Coordinate Representation for Human Pose Estimation,
    CVPR 2020, eq. 9.
    """
    peak, x, y = _find_peak(maps)
    sigma, offsets, values, _ = _gather_window(maps, x, y, sigma)
    values = values / peak.float().clamp(min=TINY)
    usable = values > FLOOR
    u = offsets[:, 0] / sigma
    bowl = (u.square() + u[:, None].square()) / 2
    # What is left of the expected Gaussian's logarithm is linear: its curvature is 0.
    rest = values.clamp(min=FLOOR).log() + bowl
    weights = values * usable * torch.exp(-bowl)
    gradient, curvature = _fit_quadratic(rest, weights, u)
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


def _answer(points: Tensor, peak: Tensor) -> tuple[Tensor, Tensor]:
    """Return points (B, K, 2) and confidence (B, K), NaN where the peak (B, K) is no number."""
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
    Taps come first, as sums over them are then fast. The window is what the map has within 2 sigma,
    at least 2 cells, at steps of sigma / 3: only the device may know sigma, so the number of taps
    must not depend on it.
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

    mean (...) is what was seen of a Gaussian through a window, cells (n, ...) are the window's on
    this axis; those that are infinite are not in it.

    A Gaussian is separable and so is the window. Newton's method: the derivative of the mean is
    variance / sigma^2. A map broader than sigma is cut more than this assumes: it is moved the
    right way, and less than all the way.
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


def _fit_quadratic(values: Tensor, weights: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Return gradient (B, K, 2) and curvature (B, K, 3: xx, xy, yy) at 0 of the weighted fit.

    values and weights (n, n, B, K) are by row and column, u (n, 1, 1) the coordinates along either
    axis. The curvature is drawn to 0 by PRIOR. No matrix products: those may be rounded to bfloat16
    or TF32.
    """

    def moments(field: Tensor, degree: int) -> list[list[Tensor]]:
        """Return the sums (B, K) of field x^a y^b as [a][b], both up to degree."""
        sums = []
        for _ in range(degree + 1):
            row, by_y = field.sum(1), []
            for _ in range(degree + 1):
                by_y.append(row.sum(0))
                row = row * u
            sums.append(by_y)
            field = field * u
        return sums

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
