"""The largest cell of many maps, the cells about it, and quadratics fitted there."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

PRIOR = 0.02  # weight of the expected curvature, as a share of all cells' weight
REACH = 3.0  # sigmas that are read on either side of the largest cell, but no more than
RADIUS = 7  # cells; every second one, and fewer, where sigma is large


def fit_quadratic(values: Tensor, weights: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Return gradient (B, K, 2) and curvature (B, K, 3: xx, xy, yy) at 0 of the weighted fit.

    values and weights (n, n, B, K) are by row and column, u (n, 1, 1) the coordinates along either
    axis. PRIOR regularises the curvature towards 0. There are no matrix products: those may be
    rounded to bfloat16 or TF32.
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


class Window(NamedTuple):
    """Which cells about the largest one are read.

    Attributes:
        sigma: of the targets, in cells, float32; 0-dim, on the device of the maps.
        offsets: (n,) int64, of its columns and of its rows from the largest cell.
        step: between two offsets, in cells, int64; 0-dim.
    """

    sigma: Tensor
    offsets: Tensor
    step: Tensor


def open_window(
    sigma: float | Tensor, device: torch.device, max_sigma: float | None = None
) -> Window:
    """Return the window for a sigma in cells, a number or a 0-dim tensor on the device.

    It reaches over REACH sigmas, at least 3 cells, but no further than RADIUS steps of sigma / 3.
    A sigma may be known to the device alone. The number of cells then depends on `max_sigma`, where
    that is given.
    """
    if not isinstance(sigma, Tensor):
        max_sigma = sigma
        sigma = torch.full((), float(sigma), device=device)  # a copy would wait for the device
    radius = RADIUS if max_sigma is None else min(RADIUS, max(3, math.ceil(REACH * max_sigma)))
    offsets = torch.arange(-radius, radius + 1, device=device)
    step = (sigma.float() / 3).round().clamp(min=1).long()
    return Window(sigma.float(), offsets * step, step)


def find_peak(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest value of maps (B, K, H, W), and its cell, row by row; each (B, K).

    The cell is the first of several. Where one is NaN, the value is NaN and the cell any.
    """
    return SEARCHES.get(maps.device.type, pool_rows)(maps)


def pool_rows(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Find the peak by pooling rows and then the one column left, see `find_peak`.

    That reads channels-last maps once, in order; on the CPU it is 5 to 20 times as fast as
    `Tensor.max` over the flattened cells.
    """
    height, width = maps.shape[2:]
    rows, cells = functional.max_pool2d(maps, (1, width), return_indices=True)
    peak, row = functional.max_pool2d(rows, (height, 1), return_indices=True)
    cell = cells.flatten(2).gather(2, row.flatten(2))
    return peak[..., 0, 0], cell[..., 0]


def search_cells(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Find the peak among all cells at once, see `find_peak`: one launch on a GPU."""
    return maps.flatten(2).max(2)


SEARCHES: dict[str, Callable] = {"cuda": search_cells}  # by device; else `pool_rows`


def gather_window(maps: Tensor, cell: Tensor, window: Window) -> Tensor:
    """Return the values (B, K, n * n), row by row, of the window about the cells (B, K).

    What is not on the map has the value of a cell at its border.
    """
    height, width = maps.shape[2:]
    rows = (cell // width)[..., None] + window.offsets
    columns = (cell % width)[..., None] + window.offsets
    index = rows.clamp(0, height - 1)[..., None] * width + columns.clamp(0, width - 1)[..., None, :]
    return maps.flatten(2).gather(2, index.flatten(2))
