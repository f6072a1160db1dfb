"""A linear basis of the shapes that training shows: their mean, and the modes they vary in most."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from landmarks.data.cropped import is_plausible
from landmarks.errors import UserError
from landmarks.shapes.aligning import principal_components

SAMPLE = 5000  # faces it is found from, evenly spread
AT_ONCE = 256  # faces whose images are held


class Basis(NamedTuple):
    """Shapes are the mean plus coefficients times modes; input pixels, float32.

    mean (K, 2); modes (N, K, 2), orthogonal, each one standard deviation of its coefficient long,
    the largest first; rest: root mean square of what they leave of a coordinate.
    """

    mean: np.ndarray
    modes: np.ndarray
    rest: float


def shape_basis(
    source: Dataset,
    rows: np.ndarray,
    components: int,
    move: Callable[[Tensor, int], Tensor] | None = None,
) -> Basis:
    """Return the principal components of at most 5,000 of these faces that have all their points.

    A face with a label far beside the input is left out with those that have not.

    As they lie in the input, neither moved nor turned onto one another: where a face is, and how
    large, are its first modes.

    Args:
        source: of faces, see `landmarks.data.loader.Batches`.
        rows: (n,) which of them.
        components: N.
        move: how augmentation moves points (B, K, 2) at a step: a basis of upright faces cannot
            follow turned ones.

    Raises:
        UserError: if there are too few such faces, or points, for so many components.

    Source: Cootes et al., Active Shape Models, CVIU 1995.
    """
    sample = rows[np.linspace(0, len(rows) - 1, min(len(rows), SAMPLE)).astype(int)]
    parts = []
    for step, first in enumerate(range(0, len(sample), AT_ONCE)):
        points = source.__getitems__(sample[first : first + AT_ONCE].tolist()).points
        parts.append((points if move is None else move(points, step)).numpy())
    shapes = np.concatenate(parts)
    shapes = shapes[is_plausible(shapes, source.size).all(1)]
    count, num_points = shapes.shape[:2]
    most = min(count - 1, 2 * num_points)
    if components > most:
        fewer = f"set model.components={most} or less, or " if most > 0 else ""
        raise UserError(
            f"model.components={components} is more than {count} training faces with all of their "
            f"{num_points} points can show: {fewer}use model.basis=none."
        )
    mean = shapes.mean(0, dtype=np.float64).astype(np.float32)
    flat = (shapes - mean).reshape(count, -1)
    modes, spread = principal_components(flat, components)
    left = (flat**2).mean(0).sum() - (spread**2).sum()
    return Basis(
        mean,
        (spread * modes).T.reshape(components, num_points, 2).astype(np.float32),
        float(np.sqrt(max(0.0, left) / flat.shape[1])),
    )
