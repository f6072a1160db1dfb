"""Labels that a trained model does not believe: where and how they differ from what it finds."""

from typing import NamedTuple

import numpy as np

from landmarks.health.robust_statistics import robust_z
from landmarks.health.suspects import Finding

BLOCK = 1024  # faces looked at at once
MIN_SIGMA = 0.15  # of logarithms
MAX_Z = 4.0  # robust standard deviations: more is disbelieved
SHIFTED_SHARE = 0.6  # of the squared difference that one displacement explains
NOISE_RATIO = (
    1.0  # of roughness to distance: 2 where points stray by themselves, less where in line
)
SWAPPED_RATIO = 0.5  # of the difference to the labels, that to the labels with sides exchanged


class Disbelief(NamedTuple):
    """How n faces' labels differ from what a model finds, in face sizes, NaN where unknown.

    away (n,) is the mean distance of a face's points; shift (n,) the length of the displacement
    that all points have in common, and explained (n,) its share of the squared difference; rough
    (n,) how much the difference changes from one point to the next; swapped (n,) the distance to
    the labels with left and right exchanged over `away`; score (n,) is above 1 where the labels are
    disbelieved.
    """

    away: np.ndarray
    shift: np.ndarray
    explained: np.ndarray
    rough: np.ndarray
    swapped: np.ndarray
    score: np.ndarray


def measure_disbelief(
    predicted: np.ndarray, labels: np.ndarray, flip: np.ndarray | None
) -> Disbelief:
    """Measure how labels differ from what a model finds.

    Sizes are those of the predicted faces: labels may be wrong. What is usual is learnt from the
    faces themselves, so that a model's own weakness at some points is no fault of a label.

    Args:
        predicted, labels: (n, K, 2) original pixels, NaN where missing; both may be mapped.
        flip: the flip permutation (K,); None: swapped sides are not looked for.
    """
    away, shift, explained, rough, swapped = np.full((5, len(labels)), np.nan)
    for start in range(0, len(labels), BLOCK):
        here = slice(start, start + BLOCK)
        found = np.asarray(predicted[here], np.float64)
        truth = np.asarray(labels[here], np.float64)
        size = _size(found)
        gap = (truth - found) / size[:, None, None]
        away[here] = _mean(np.sqrt((gap**2).sum(2)))
        common = np.stack([_mean(gap[:, :, axis]) for axis in (0, 1)], axis=1)
        shift[here] = np.hypot(*common.T)
        whole = _mean((gap**2).sum(2))
        explained[here] = shift[here] ** 2 / np.where(whole > 0, whole, np.nan)
        steps = np.diff(gap, n=2, axis=1)
        rough[here] = np.sqrt(_mean((steps**2).sum(2)))
        if flip is not None:
            other = (truth[:, flip] - found) / size[:, None, None]
            swapped[here] = _mean(np.sqrt((other**2).sum(2))) / np.where(
                away[here] > 0, away[here], np.nan
            )
    with np.errstate(divide="ignore"):
        usual = [robust_z(np.log(values), MIN_SIGMA) for values in (away, shift, rough)]
    score = np.fmax.reduce(usual) / MAX_Z
    return Disbelief(
        away, shift, explained, rough, swapped, np.where(np.isnan(away), np.nan, score)
    )


def disbelief_findings(names: list[str], rows: np.ndarray, found: Disbelief) -> list[Finding]:
    """Return the labels that are disbelieved, the most first, each with its likely reason.

    Args:
        names: n.
        rows: (n,) of the data set.
    """
    findings = []
    for i in np.argsort(-np.nan_to_num(found.score, nan=-np.inf), kind="stable").tolist():
        if not found.score[i] > 1:
            break
        away = f"the model finds them {found.away[i]:.1%} of the face's size away"
        if found.swapped[i] < SWAPPED_RATIO:
            reason, says = (
                "model-swapped",
                f"{1 / found.swapped[i]:.1f} times nearer with sides exchanged",
            )
        elif found.rough[i] > NOISE_RATIO * found.away[i]:
            reason, says = "model-jittered", f"{away}, and not all in one direction"
        elif found.explained[i] > SHIFTED_SHARE:
            reason, says = "model-shifted", f"all of them {found.shift[i]:.1%} to one side"
        else:
            reason, says = "model-other-face", away
        findings.append(
            Finding(int(rows[i]), names[i], reason, float(found.score[i]), "train", says)
        )
    return findings


def _size(points: np.ndarray) -> np.ndarray:
    """Return the root mean square distance (n,) of points (n, K, 2) to their middle."""
    known = np.isfinite(points).all(2)
    middle = np.stack([_mean(points[:, :, axis]) for axis in (0, 1)], axis=1)
    squares = np.where(known, ((points - middle[:, None]) ** 2).sum(2), np.nan)
    size = np.sqrt(_mean(squares))
    return np.where(size > 0, size, np.nan)


def _mean(values: np.ndarray) -> np.ndarray:
    known = np.isfinite(values)
    total = np.where(known, values, 0).sum(1)
    return np.where(known.any(1), total / np.maximum(known.sum(1), 1), np.nan)
