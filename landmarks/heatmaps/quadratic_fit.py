"""Many small fits of a quadratic at once, on any device."""

import torch
from torch import Tensor

PRIOR = 0.02  # weight of the expected curvature, as a share of all cells' weight


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
