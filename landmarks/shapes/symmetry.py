"""The flip permutation of the points: a layout's, checked on the faces, or found in the faces.

A wrong permutation teaches a model wrong faces, and no message shows it. So nothing is guessed:
where the faces do not speak clearly, flipping is off, and `reason` says why.
"""

from dataclasses import dataclass, replace

import numpy as np

from landmarks.errors import say_count
from landmarks.shapes.aligning import Model, Shapes, align_shapes, shape_model
from landmarks.shapes.pairing import (
    Half,
    agreement,
    candidates,
    halve,
    mean_residual,
    misfit,
    object_to,
    refine,
)

# To find a permutation, and as many faces as points. Measured: of 68 points it is found in 50 real
# faces, in 25 not always; of 971 in 600, while in 300 a contour may pair with itself one point on.
MIN_FACES = 50
MIN_LABELS = 20  # of each point
MIN_POINTS = 3  # two points are always symmetric
MIN_SHARE = 0.5  # of its points that a face has to have
MIN_AGREEMENT = 0.98
SAID = {
    "layout": "the layout's pairs",
    "names": "left and right in their names",
    "flip_idx": "the data's flip_idx",
}


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
        source: whose it is: "layout", "names" (left and right in the points' names), "flip_idx"
            (named by the data) or "data" (found in the points).
    """

    flip: np.ndarray | None
    residual: float
    agreement: float
    reason: str
    source: str


def find_symmetry(
    points: np.ndarray,
    known: np.ndarray | None = None,
    rows: np.ndarray | None = None,
    max_faces: int = 2000,
    seed: int = 0,
    known_from: str = "layout",
) -> Symmetry:
    """Return the flip permutation of the points, if the faces bear it out.

    Where they speak against a layout's, the points' own is looked for.

    Args:
        points: (N, K, 2) original pixels, NaN where missing; may be memory-mapped: no more than
            `max_faces` rows are read.
        known: (K,) the layout's permutation, which is checked; None: there is none.
        rows: the faces to look at; None: all.
        max_faces: the most faces that are looked at, chosen at random.
        seed: of that choice and of the halves.
        known_from: whose `known` is, "layout", "names" or "flip_idx".
    """
    judged = _judge(points, known, rows, max_faces, seed, known_from)
    if known is None or judged.flip is not None:
        return judged
    found = _judge(points, None, rows, max_faces, seed, "data")
    if found.reason == judged.reason:
        return found
    return replace(found, reason=f"{found.reason} (not {SAID[known_from]}: {judged.reason})")


def _judge(points, known, rows, max_faces: int, seed: int, known_from: str) -> Symmetry:
    """Return what `find_symmetry` does of a layout's permutation alone, or of none."""
    source = "data" if known is None else known_from
    num_points = points.shape[1]
    flip = None if known is None else np.asarray(known, np.int64)
    wrong = "" if flip is None else _not_involution(flip, num_points)
    if wrong:
        return Symmetry(None, np.nan, np.nan, wrong, source)
    random = np.random.default_rng(seed)
    sample = _sample(points, rows, max_faces, random)
    least = min(max(MIN_FACES, num_points), max_faces) if known is None else 1
    wrong = _too_few(sample, least, known is None)
    if wrong:
        return Symmetry(None, np.nan, np.nan, wrong, source)
    if flip is not None:
        sample, tested = _leave_unlabelled(sample, flip)
    shapes = align_shapes(sample)
    model = shape_model(shapes)
    halves = halve(shapes, random) if len(sample) >= MIN_FACES else []
    agreed = np.nan
    if flip is None:
        flip, agreed = _search(shapes, model, halves)
        tested = flip
    residual = mean_residual(model.mean, tested)
    wrong = object_to(tested, shapes, halves, residual, known is None)
    if not wrong and agreed < MIN_AGREEMENT:
        wrong = f"halves of the faces agree on {agreed:.0%} of the points only"
    if wrong:
        return Symmetry(None, residual, agreed, wrong, source)
    fixed = int((flip == np.arange(num_points)).sum())
    pairs, middle = say_count((num_points - fixed) // 2, "pair"), say_count(fixed, "point")
    origin = "found in" if known is None else f"{SAID[source]}, checked on"
    seen = say_count(len(sample), "face")
    reason = f"{pairs} and {middle} on the midline, {origin} {seen}"
    return Symmetry(flip, residual, agreed, reason, source)


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
    """Return (n, K, 2) float32: random faces with at least half of their points, each once.

    Copies in both halves would make a face look expected there that its mirror image is not.
    """
    rows = np.arange(len(points)) if rows is None else np.asarray(rows)
    if len(rows) > max_faces:
        rows = random.choice(rows, max_faces, replace=False)
    # In the file's order: a memory map is read once, forwards.
    sample = np.array(points[np.sort(rows)], np.float32)
    sample[~np.isfinite(sample).all(2)] = np.nan
    count = (~np.isnan(sample[..., 0])).sum(1)
    sample = sample[count >= max(2, MIN_SHARE * sample.shape[1])]
    once = {face.tobytes(): i for i, face in enumerate(sample)}
    return sample[np.array(list(once.values()), int)]


def _too_few(sample: np.ndarray, least: int, to_find: bool) -> str:
    """Return what the sample has too few of to find, or to check, a permutation; empty: nothing."""
    labels = (~np.isnan(sample[..., 0])).sum(0)
    if len(sample) < least:
        return (
            f"{say_count(len(sample), 'face')} with half of the points labelled; {least} are needed"
        )
    if (labels > 0).sum() < MIN_POINTS:
        return f"{say_count((labels > 0).sum(), 'labelled point')}; {MIN_POINTS} are needed"
    if to_find and labels.min() < MIN_LABELS:
        return (
            f"point {labels.argmin()} is labelled in {labels.min()} of "
            f"{say_count(len(sample), 'face')}; "
            f"{MIN_LABELS} are needed"
        )
    return ""


def _leave_unlabelled(sample: np.ndarray, flip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return faces and permutation without the pairs of which one point is labelled nowhere."""
    labelled = (~np.isnan(sample[..., 0])).any(0)
    kept = labelled & labelled[flip]
    place = np.cumsum(kept) - 1
    return sample[:, kept], place[flip[kept]]


def _search(shapes: Shapes, model: Model, halves: list[Half]) -> tuple[np.ndarray, float]:
    """Return the permutation (K,) that fits mirrored faces best, and the halves' agreement.

    A contour shifted by one point confirms itself; so there are several starts, of all faces and
    of each half, and each part of the faces picks from them by its own mirrored faces.
    """
    models = [model, *(half.model for half in halves)]
    starts = np.unique([flip for each in models for flip in candidates(each)], axis=0)
    flip, _ = _best(shapes, model, starts)
    picks = [_best(half.shapes, half.model, starts) for half in halves]
    return flip, agreement(flip, picks, shapes.unit)


def _best(shapes: Shapes, model: Model, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    start = min(starts, key=lambda flip: misfit(shapes, model, flip).sum())
    return refine(shapes, model, start)
