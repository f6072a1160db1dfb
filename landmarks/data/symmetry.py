"""The flip permutation of the points: a layout's, checked on the faces, or found in the faces.

A wrong one teaches a model wrong faces and shows in no message, so nothing is guessed: where the
faces do not speak clearly, flipping is off, and the reason says why.
"""

from dataclasses import dataclass

import numpy as np

from landmarks.data.pairing import candidates, mean_residual, misfit, refine
from landmarks.data.shapes import Model, Shapes, align_shapes, shape_model

MIN_FACES = 50  # to find a permutation; measured: at 50 real faces it is found, at 25 not always
MIN_LABELS = 20  # of each point
MIN_SHARE = 0.5  # of its points that a face has to have
HALVINGS = 2  # each gives two halves
ROUNDING = 0.3  # original pixels: labels are whole pixels, which are 1/sqrt(12) off, rms
MAX_RESIDUAL = 0.1  # of the mean shape, over its size, plus TURNED / sqrt(faces)
TURNED = 0.6  # how far from symmetric one turned head is at most
MAX_MISFIT = 1.5  # of all points of mirrored faces, over that of the faces themselves, rms
MAX_POINT_MISFIT = 3.0  # the same of one point
MAX_LOOSE = 0.75  # deviation that the shape model leaves unexplained, over all of it, rms
MIN_AGREEMENT = 0.98


@dataclass(frozen=True, eq=False)
class Symmetry:
    """Who is whose mirror image.

    Args:
        flip: (K,) int64: point k of a mirrored face is the mirror of point flip[k] of the face;
            None: flipping is off.
        residual: rms distance of the mirrored mean shape's points to their partners, over the
            rms distance of the shape's points to their middle; NaN: nothing to measure.
        agreement: share of the points with the same partner in random halves of the faces; two
            partners that differ by less than label rounding (0.3 px) count as the same. NaN where
            no halves were looked at.
        reason: one clause for the log: why flipping is on or off.
        source: "layout" or "data".
    """

    flip: np.ndarray | None
    residual: float
    agreement: float
    reason: str
    source: str


@dataclass(frozen=True, eq=False)
class _Half:
    """Some faces, their model, and the faces that it was not made from."""

    shapes: Shapes
    model: Model
    others: Shapes


def find_symmetry(
    points: np.ndarray,
    known: np.ndarray | None = None,
    rows: np.ndarray | None = None,
    max_faces: int = 2000,
    seed: int = 0,
) -> Symmetry:
    """Return the flip permutation of the points, if the faces bear it out.

    Args:
        points: (N, K, 2) original pixels, NaN where missing; may be memory-mapped: no more than
            `max_faces` rows are read.
        known: (K,) the layout's permutation, which is then only checked; None: it is looked for.
        rows: the faces to look at; None: all.
        max_faces: the most faces that are looked at, chosen at random.
        seed: of that choice and of the halves.
    """
    source = "data" if known is None else "layout"
    num_points = points.shape[1]
    if known is not None:
        known = np.asarray(known, np.int64)
        wrong = _not_involution(known, num_points)
        if wrong:
            return Symmetry(None, np.nan, np.nan, wrong, source)
    random = np.random.default_rng(seed)
    sample = _sample(points, rows, max_faces, random)
    least = MIN_FACES if known is None else 1
    if len(sample) < least or num_points < 3:
        reason = (
            f"{len(sample)} faces of {num_points} points with half of them labelled are too few: "
            f"{least} faces of 3 points are needed"
        )
        return Symmetry(None, np.nan, np.nan, reason, source)
    labels = (~np.isnan(sample[..., 0])).sum(0)
    least = min(MIN_LABELS, MIN_FACES if known is None else len(sample))
    if known is None and labels.min() < least:
        reason = f"point {labels.argmin()} is labelled in {labels.min()} of {len(sample)} faces"
        return Symmetry(None, np.nan, np.nan, reason, source)
    shapes = align_shapes(sample)
    model = shape_model(shapes)
    halves = _halve(shapes, random) if len(shapes.faces) >= MIN_FACES else []
    flip, agreement = (known, np.nan) if known is not None else _search(shapes, model, halves)
    residual = mean_residual(model.mean, flip)
    wrong = _judge(shapes, residual, halves, flip, known is None)
    if not wrong and agreement < MIN_AGREEMENT:
        wrong = f"halves of the faces agree on {agreement:.0%} of the points only"
    if wrong:
        return Symmetry(None, residual, agreement, wrong, source)
    fixed = int((flip == np.arange(num_points)).sum())
    reason = (
        f"{(num_points - fixed) // 2} pairs and {fixed} points on the midline, "
        f"{'found in' if known is None else 'as the layout says, checked on'} {len(sample)} faces"
    )
    return Symmetry(flip, residual, agreement, reason, source)


def _not_involution(flip: np.ndarray, num_points: int) -> str:
    """Return what is wrong with a layout's permutation; empty: nothing."""
    if flip.shape != (num_points,):
        return f"the layout's permutation has {flip.size} entries for {num_points} points"
    if flip.min() < 0 or flip.max() >= num_points:
        return f"the layout's permutation names points outside 0..{num_points - 1}"
    wrong = np.flatnonzero(flip[flip] != np.arange(num_points))
    if len(wrong):
        k = wrong[0]
        return f"the layout pairs point {k} with {flip[k]}, but {flip[k]} with {flip[flip[k]]}"
    return ""


def _sample(points, rows, max_faces: int, random: np.random.Generator) -> np.ndarray:
    """Return (n, K, 2) float32: random faces with at least half of their points."""
    rows = np.arange(len(points)) if rows is None else np.asarray(rows)
    if len(rows) > max_faces:
        rows = random.choice(rows, max_faces, replace=False)
    # In the file's order: a memory map is read once, forwards.
    sample = np.array(points[np.sort(rows)], np.float32)
    sample[~np.isfinite(sample).all(2)] = np.nan
    count = (~np.isnan(sample[..., 0])).sum(1)
    return sample[count >= max(2, MIN_SHARE * sample.shape[1])]


def _halve(shapes: Shapes, random: np.random.Generator) -> list[_Half]:
    halves = []
    for _ in range(HALVINGS):
        mixed = random.permutation(len(shapes.faces))
        middle = len(mixed) // 2
        parts = shapes.take(mixed[:middle]), shapes.take(mixed[middle:])
        for one, other in (parts, parts[::-1]):
            halves.append(_Half(one, shape_model(one), other))
    return halves


def _search(shapes: Shapes, model: Model, halves: list[_Half]) -> tuple[np.ndarray, float]:
    """Return the permutation (K,) that fits mirrored faces best, and the halves' agreement.

    A contour shifted by one point confirms itself; so there are several starts, of all faces and
    of each half, and each part of the faces picks from them by its own mirrored faces.
    """
    models = [model, *(half.model for half in halves)]
    starts = np.unique([flip for each in models for flip in candidates(each)], axis=0)
    flip, _ = _best(shapes, model, starts)
    same = []
    for half in halves:
        other, costs = _best(half.shapes, half.model, starts)
        away = np.sqrt(costs) * shapes.unit
        points = np.arange(len(flip))
        tied = np.abs(away[points, flip] - away[points, other]) < ROUNDING
        same.append((other == flip) | tied)
    return flip, float(np.mean(same))


def _best(shapes: Shapes, model: Model, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    start = min(starts, key=lambda flip: misfit(shapes, model, flip).sum())
    return refine(shapes, model, start)


def _judge(
    shapes: Shapes, residual: float, halves: list[_Half], flip: np.ndarray, found: bool
) -> str:
    """Return what speaks against a permutation; empty: nothing."""
    bound = MAX_RESIDUAL + TURNED / np.sqrt(len(shapes.faces))
    if residual > bound:
        return (
            f"the mirrored mean face lies {residual:.3f} of its size beside itself, more than "
            f"{bound:.3f}"
        )
    if not halves:
        return ""  # a layout's, on few faces: there is no more to be seen
    own = np.mean([misfit(half.others, half.model) for half in halves], axis=0)
    mirrored = np.mean([misfit(half.others, half.model, flip) for half in halves], axis=0)
    spread = np.mean([(np.abs(h.others.faces - h.model.mean) ** 2).mean() for h in halves[:2]])
    loose = np.sqrt(own.mean() / max(spread, 1e-12))
    if found and loose > MAX_LOOSE:
        return (
            f"the points do not move together: {loose:.0%} of their movement is each one's own, "
            f"more than {MAX_LOOSE:.0%}"
        )
    floor = (ROUNDING / shapes.unit) ** 2
    ratio = np.sqrt((mirrored.mean() + floor) / (own.mean() + floor))
    if ratio > MAX_MISFIT:
        return (
            f"mirrored faces are unlike faces: their points lie {ratio:.1f} times as far from "
            f"where they are expected, more than {MAX_MISFIT:g} times"
        )
    ratios = np.sqrt((mirrored + floor) / (own + floor))
    if ratios.max() > MAX_POINT_MISFIT:
        k = ratios.argmax()
        return (
            f"{(ratios > MAX_POINT_MISFIT).sum()} points have no partner, such as point {k}, in "
            f"mirrored faces {ratios[k]:.1f} times as far from its place as in faces"
        )
    return ""
