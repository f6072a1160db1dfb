"""How well faces fit a robust shape model: a mean shape and the distribution of shapes about it.

The distribution is normal: modes with a spread along each, and equal noise across all others
(Tipping and Bishop 1999, "Probabilistic Principal Component Analysis"). Missing points are taken
for where the others let them be expected: no face stands out by what it has not.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.special import gammaincinv

from landmarks.health.robust_statistics import rms, robust_spread, robust_z
from landmarks.health.similarity_transforms import align, find_mean, offsets_from, similarities
from landmarks.shapes.aligning import principal_components, to_complex

COMPLETIONS = 3  # of missing points, and of the alignment by them
JITTER = 0.04  # face sizes: noise in every point, whose likelihood is weighed
LEAST = 0.02  # share of faces with that noise that look as if they had less
SAMPLE = 2000  # faces the model is fitted to
MODES = 30  # and no more than three quarters of the directions in which k points can move
FACES_A_MODE = 10
MIN_LABELLED = 0.1  # share of the sample that has a point which the model looks at
ROUNDS = 8  # of leaving out what does not fit and fitting anew
MAX_FIT_OUT, MAX_FIT_REST = 6.0, 5.0  # limits of what the model is fitted to, see `shape_model.Fit`
MIN_NOISE = 0.003  # face sizes: whole pixels of a face 100 pixels large
MIN_SIGMA = 0.1  # of logarithms
NEIGHBOURS = 4


class Fit(NamedTuple):
    """How n faces fit the model; NaN where a face has too few points.

    scale, shift (n,) complex: a reference shape z lies at scale z + shift in the image; |scale| is
    the face's size in pixels. out (n,): how far out it lies along its most unusual mode, in robust
    standard deviations. A point's pull, as many times as is usual for that point, says how far it
    lies from where the others let it be expected: pull (n,) is the largest, worst (n,) the point's
    index, beside (n,) its distance in face sizes; rest (n,): rms of all, alone (n,) the share that
    the largest has in it; roughness (n,): rms of
    what a point's pull has not in common with its neighbours'; noise is rough, a rare grimace is
    not. noisy (n,): how much likelier the face is with noise of `JITTER` than without, see
    `ShapeModel.noisy`. mirrored (n,): rms distance from the mirrored mean shape, over that from the
    mean shape.
    """

    scale: np.ndarray
    shift: np.ndarray
    out: np.ndarray
    pull: np.ndarray
    worst: np.ndarray
    beside: np.ndarray
    rest: np.ndarray
    alone: np.ndarray
    roughness: np.ndarray
    noisy: np.ndarray
    mirrored: np.ndarray


@dataclass(frozen=True, eq=False)
class ShapeModel:
    """k points of K: a mean shape and the distribution of aligned shapes about it.

    Args:
        chosen: (k,) their indices.
        mean: (k,) complex, its box of area 1 about 0; what faces are aligned to.
        centre: (2k,) the distribution's mean, less that one; x and y of a point side by side.
        modes: (2k, m) orthonormal.
        spread: (m,) standard deviations along them, in face sizes.
        noise: that along every other direction.
        usual: (k,) usual length of a point's pull.
        neighbours: (k, NEIGHBOURS) indices into `chosen`.
    """

    chosen: np.ndarray
    mean: np.ndarray
    centre: np.ndarray
    modes: np.ndarray
    spread: np.ndarray
    noise: float
    usual: np.ndarray
    neighbours: np.ndarray

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Return (n,) rms distances of faces (n, K, 2) from the mean shape, in face sizes."""
        return align(to_complex(points[:, self.chosen]), self.mean)[2]

    def fit(self, points: np.ndarray) -> Fit:
        """Return the fit of faces (n, K, 2), NaN where unlabelled."""
        shapes = to_complex(points[:, self.chosen])
        known = ~np.isnan(shapes)
        scale, shift, offsets, distances = self.place(shapes)
        pulls = self.pulls(offsets) / self.usual[:, None]
        lengths = np.where(known, np.hypot(pulls[..., 0], pulls[..., 1]), 0)
        worst = lengths.argmax(1)
        pull = lengths[np.arange(len(lengths)), worst]
        pull[np.isnan(scale)] = np.nan
        around = np.where(known[..., None], pulls, 0)[:, self.neighbours].sum(2)
        around /= np.maximum(known[:, self.neighbours].sum(2), 1)[..., None]
        rough = np.hypot(*np.moveaxis(pulls - around, 2, 0))
        _, _, mirrored = align(shapes, self.mean.conj())
        rest = rms(lengths, known)
        with np.errstate(invalid="ignore", divide="ignore"):
            alone = pull**2 / (rest**2 * known.sum(1))
            mirrored = mirrored / distances
        return Fit(
            scale,
            shift,
            self.out(offsets),
            pull,
            self.chosen[worst],
            pull * (self.usual / self.stiffness())[worst],
            rest,
            alone,
            rms(rough, known),
            self.noisy(offsets),
            mirrored,
        )

    def place(self, shapes: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return scale, shift (n,), offsets (n, 2k) from the distribution's mean of shapes (n, k),
        missing points where they are expected, and distances of the known ones, see `align`."""
        scale, shift, distances = align(shapes, self.mean)
        gaps = np.flatnonzero(np.isfinite(scale) & np.isnan(shapes).any(1))
        if len(gaps):
            shapes = shapes.copy()
            part = shapes[gaps]
            for _ in range(COMPLETIONS):
                shapes[gaps] = self._complete(part, scale[gaps], shift[gaps])
                scale[gaps], shift[gaps], _ = align(shapes[gaps], self.mean)
        offsets = offsets_from(self.mean, shapes, scale, shift) - self.centre
        return scale, shift, offsets, distances

    def _complete(self, shapes: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """Return the shapes (n, k), missing points where the distribution expects them.

        A ridge regression on the modes; the similarity, which the known points alone say badly, is
        part of it.
        """
        offsets = offsets_from(self.mean, shapes, scale, shift) - self.centre
        known = ~np.isnan(offsets)
        free = np.concatenate([similarities(self.mean), self.modes], axis=1)
        ways = free.shape[1]
        products = known.astype(np.float32) @ (free[:, :, None] * free[:, None]).reshape(
            -1, ways**2
        )
        products = products.reshape(-1, ways, ways).astype(np.float64)
        ridge = np.r_[np.full(ways - len(self.spread), 1e-6), (self.noise / self.spread) ** 2]
        products[:, np.arange(ways), np.arange(ways)] += ridge
        answers = np.where(known, offsets, 0) @ free
        weights = np.linalg.solve(products, answers[..., None].astype(np.float64))[..., 0]
        expected = (self.centre + weights @ free.T).view(np.complex128) + self.mean
        expected = expected * scale[:, None] + shift[:, None]
        return np.where(np.isnan(shapes), expected, shapes)

    def out(self, offsets: np.ndarray) -> np.ndarray:
        """Return (n,) how far out the offsets (n, 2k) lie along their most unusual mode."""
        if not len(self.spread):
            return np.where(np.isnan(offsets[:, 0]), np.nan, 0)
        return np.abs(offsets @ self.modes / self.spread).max(1)

    def pulls(self, offsets: np.ndarray) -> np.ndarray:
        """Return (n, k, 2), the inverse covariance times the offsets: the slope of the likelihood.

        A point's is its distance from where all others let it be expected, times its stiffness.
        """
        weights = offsets @ self.modes
        scaled = offsets / self.noise**2
        scaled += (weights * (self.spread**-2 - self.noise**-2)) @ self.modes.T
        return scaled.reshape(len(offsets), -1, 2)

    def stiffness(self) -> np.ndarray:
        """Return (k,) the inverse covariance's own entries of each point, mean of x and y."""
        free = 1 - (similarities(self.mean) ** 2).sum(1)  # an alignment takes the rest
        own = free * self.noise**-2 + self.modes**2 @ (self.spread**-2 - self.noise**-2)
        return own.reshape(-1, 2).mean(1)

    def noisy(self, offsets: np.ndarray) -> np.ndarray:
        """Return (n,) the likelihood ratio's statistic of noise in offsets (n, 2k).

        It is the sum over all directions of squared standard deviations, each weighted by the share
        of its variance that noise of `JITTER` would have: the best test of that noise (Neyman and
        Pearson 1933). It is 1 for the least that 98 of 100 faces with such noise have.
        """
        variances, weights, _ = self._jitter_weights()
        weights = weights / variances
        along = (offsets @ self.modes) ** 2
        beside = np.maximum((offsets**2).sum(1) - along.sum(1), 0)
        return (along @ weights[:-1] + beside * weights[-1]) / self._least_noisy()

    def _jitter_weights(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return variances, weights and numbers (m + 1,) of directions: the modes, each of which is
        one, and all those beside them, but for the four that an alignment takes."""
        variances = np.append(self.spread, self.noise).astype(np.float64) ** 2
        beside = max(0, len(self.centre) - 4 - len(self.spread))
        count = np.append(np.ones(len(self.spread)), beside)
        return variances, JITTER**2 / (JITTER**2 + variances), count

    def _least_noisy(self) -> float:
        variances, weights, count = self._jitter_weights()
        each = weights * (1 + JITTER**2 / variances)
        mean, alike = count @ each, (count @ each) ** 2 / (count @ each**2)  # of as many directions
        return float(mean * 2 * gammaincinv(alike / 2, LEAST) / alike)

    def noticed(
        self, out: float, pull: float, rest: float, noisy: float
    ) -> tuple[np.ndarray, float]:
        """Return what must be wrong with an average face for it to exceed limits of a `Fit`: the
        displacements (2k,) of one coordinate, and the noise of all; in face sizes."""
        ways = similarities(self.mean)
        unit = np.eye(len(ways), dtype=np.float32) - ways @ ways.T  # what an alignment leaves
        pulls = np.linalg.norm(self.pulls(unit), axis=2) / self.usual
        every = np.arange(len(ways))
        over = (self.out(unit) / out, pulls[every, every // 2] / pull, rms(pulls) / rest)
        noise = rest / float(np.sqrt((pulls**2).sum(0).mean()))
        variances, weights, count = self._jitter_weights()
        more = max(noisy * self._least_noisy() - count @ weights, 0) / (
            count @ (weights / variances)
        )
        return 1 / np.maximum(np.max(over, axis=0), 1e-6), min(noise, float(np.sqrt(more)))


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
