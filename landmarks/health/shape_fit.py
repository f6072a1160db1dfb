"""Fitting the robust shape model to a data set's own labels.

The mean shape is a median of aligned shapes; the modes are a principal component analysis (Cootes
et al. 1995, "Active Shape Models") of the faces that fit. The others are left out and the rest is
fitted anew, so that no fault, alone or common to a few in a hundred, becomes a mode.
"""

from dataclasses import replace

import numpy as np

from landmarks.health.robust_statistics import rms, robust_spread, robust_z
from landmarks.health.shape_model import ShapeModel
from landmarks.health.similarity_transforms import align, find_mean
from landmarks.shapes.aligning import principal_components, to_complex

SAMPLE = 2000  # faces the model is fitted to
MODES = 30  # and no more than three quarters of the directions in which k points can move
FACES_A_MODE = 10
MIN_LABELLED = 0.1  # share of the sample that has a point which the model looks at
ROUNDS = 8  # of leaving out what does not fit and fitting anew
MAX_FIT_OUT, MAX_FIT_REST = 6.0, 5.0  # limits of what the model is fitted to, see `shape_model.Fit`
MIN_NOISE = 0.003  # face sizes: whole pixels of a face 100 pixels large
MIN_SIGMA = 0.1  # of logarithms
NEIGHBOURS = 4


def fit_model(points: np.ndarray, rows: np.ndarray) -> ShapeModel | None:
    """Return the model of faces `rows` of points (N, K, 2), or None where too few have points."""
    picked = rows[np.linspace(0, len(rows) - 1, min(len(rows), SAMPLE)).astype(int)]
    shapes = to_complex(np.asarray(points[picked]))
    chosen = np.flatnonzero((~np.isnan(shapes)).sum(0) >= max(8, MIN_LABELLED * len(shapes)))
    if len(chosen) < 3:
        return None
    shapes = shapes[:, chosen]
    mean = find_mean(shapes)
    if mean is None:
        return None
    shapes = shapes[np.isfinite(align(shapes, mean)[0])]
    distances = np.abs(mean[:, None] - mean)
    count = min(NEIGHBOURS, len(chosen) - 1)
    neighbours = np.argsort(distances, axis=1, kind="stable")[:, 1 : count + 1]
    size = 2 * len(chosen)
    model = ShapeModel(
        chosen,
        mean,
        np.zeros(size, np.float32),
        np.zeros((size, 0), np.float32),
        np.zeros(0, np.float32),
        1.0,
        np.ones(len(chosen), np.float32),
        neighbours,
    )
    known, kept = ~np.isnan(shapes), np.ones(len(shapes), bool)
    for _ in range(ROUNDS):
        model, fits = _refit(model, shapes, known, kept)
        if (fits == kept).all() or fits.sum() < 2 * FACES_A_MODE:
            break
        kept = fits
    return model


def _refit(
    model: ShapeModel, shapes: np.ndarray, known: np.ndarray, kept: np.ndarray
) -> tuple[ShapeModel, np.ndarray]:
    """Return the distribution of the kept shapes (n, k) and which of all fit it (n,)."""
    offsets = model.place(shapes)[2] + model.centre
    centre = offsets[kept].mean(0) if len(model.spread) else np.median(offsets, axis=0)
    offsets -= centre
    k = len(model.chosen)
    count = max(1, min(MODES, 3 * k // 2, 2 * k - 4, kept.sum() // FACES_A_MODE))
    modes, _ = principal_components(offsets[kept], count)
    # What is known of whole faces is not known of those with many points missing.
    share = known.mean(1)
    whole = kept & (share >= np.median(share[kept]))
    weights = offsets[whole] @ modes
    left = ((offsets[whole] - weights @ modes.T) ** 2).sum(1) / share[whole]
    noise = float(np.sqrt(np.median(left) / max(1, 2 * k - 4 - count)))
    model = replace(
        model,
        centre=centre,
        modes=modes,
        spread=np.maximum(robust_spread(weights), MIN_NOISE).astype(np.float32),
        noise=max(noise, MIN_NOISE),
    )
    lengths = np.linalg.norm(model.pulls(offsets), axis=2)
    usual = np.nanmedian(np.where(known[whole], lengths[whole], np.nan), axis=0)
    usual = np.fmax(usual, MIN_NOISE * model.stiffness()).astype(np.float32)
    rest = robust_z(np.log(rms(lengths / usual, known)), MIN_SIGMA)
    return replace(model, usual=usual), (model.out(offsets) < MAX_FIT_OUT) & (rest < MAX_FIT_REST)
