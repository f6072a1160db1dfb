"""From measurements of shapes to findings: the limits, each once."""

from collections.abc import Callable

import numpy as np

from landmarks.data.faces import Faces
from landmarks.health.point_noise import Beside
from landmarks.health.robust_statistics import TO_SIGMA, median, rms, robust_distances, robust_z
from landmarks.health.shape_model import JITTER, MIN_SIGMA, Fit
from landmarks.health.shifted_labels import Shifts
from landmarks.health.suspects import ERRORS, WARNINGS, Finding

SWAPPED_RATIO = 0.5  # of the distance to the mean shape, that to the mirrored one
# Measured on real faces with 4 to 971 points: of clean ones, 99.9 % lie below 6.2 standard
# deviations, 12 (68 hand-set points: 15.6) usual pulls and 4.2 standard deviations of the rest.
MAX_OUT, MAX_PULL, MAX_REST_Z = 8.0, 15.0, 4.5  # see `landmarks.health.shape_model.Fit`
# Of logarithms, distances from the median to what three quarters lie below: faults, up to one face
# in ten, hardly move these. 99.7 % of real faces with 5 to 68 points lie below it.
MAX_NOISY = 4.6
# Of what pictures say of points, see `_beside_scores`: 99.7 % of faces68 with 5 lie below it.
MAX_BESIDE = 8.4
MIN_BESIDE = 0.02  # face sizes, rms: points that lie closer to their places are not called wrong
OFFSETS_WEIGHT = 1.5  # of how far points lie off, beside whether the cut is one by noisy labels
MIN_STEP = 0.02  # from the median to three quarters: smaller ones would make outliers of trifles
MAX_ALONE = 0.5  # share that one point has in what does not fit: more is no jitter
MIN_ROUGHNESS = 2.0  # times the median: less is a rare grimace
OUTLIER_PULL = 10.0
MAX_TURN_Z, MAX_TURN = 5.5, 70.0  # degrees: jittered contest faces had more
# Of real faces, 99.8 % lie below 4.8 and, moved by a tenth of their size, 99.9 % above it.
MAX_SHIFTED, MAX_PERHAPS_SHIFTED = 4.8, 4.2  # see `_shift_scores`
MAX_LENGTH = 6.0  # standard deviations: one cut can say no more
MIN_LENGTH, MIN_CENTRED = 0.01, 0.14  # least standard deviations: face sizes; of what is centred


def rest_limit(fit: Fit) -> float:
    """Return what the `rest` of a face must exceed for it to be unlike the others."""
    logs = np.log(fit.rest)
    middle = median(logs)
    return float(
        np.exp(middle + MAX_REST_Z * max(MIN_SIGMA, TO_SIGMA * median(abs(logs - middle))))
    )


def noisy_limit(fit: Fit) -> float:
    """Return what the `noisy` of a face must exceed for it to be jittered."""
    return max(_tail_limit(fit.noisy, MAX_NOISY), 1.0)


def _tail_limit(values: np.ndarray, most: float) -> float:
    """Return what lies `most` times as far above the median of values (n,) as three quarters do,
    of their logarithms; NaN where none is known."""
    middle, step = _middle_and_step(np.log(values))
    return float(np.exp(middle + most * max(step, MIN_SIGMA)))


def _middle_and_step(values: np.ndarray) -> tuple[float, float]:
    """Return the median of values (n,), and how far above it three quarters lie; NaN: none."""
    known = values[np.isfinite(values)]
    if not len(known):
        return np.nan, np.nan
    middle, high = np.quantile(known, (0.5, 0.75))
    return float(middle), float(high - middle)


def shape_findings(
    faces: Faces,
    rows: np.ndarray,
    fit: Fit,
    angles: np.ndarray,
    shifts: Shifts | None,
    beside: Beside | None,
) -> list[Finding]:
    """Return swapped, jittered, misplaced and shifted faces, and rare shapes; a face has one of
    these reasons, the first in the order of `landmarks.health.suspects`.

    Args:
        rows: (n,), which `fit`, the turning angles (n,) and the rest are of.
        shifts, beside: see `landmarks.health.inspect_data.Seen`; None: not looked for.
    """
    found, taken = [], np.zeros(len(rows), bool)
    shifted = _shift_scores(shifts)
    scores = _shape_scores(fit, angles, _beside_scores(beside, shifted, len(rows))) | shifted
    for reason in (reason for reason in (*ERRORS, *WARNINGS) if reason in scores):
        score, says = scores[reason]
        for i in np.flatnonzero((np.nan_to_num(score) > 1) & ~taken):
            taken[i] = True
            name = faces.name(rows[i])
            found.append(Finding(int(rows[i]), name, reason, float(score[i]), detail=says(i)))
    return found


def _shape_scores(
    fit: Fit, angles: np.ndarray, beside: tuple[np.ndarray, np.ndarray]
) -> dict[str, tuple[np.ndarray, Callable]]:
    """Return reason -> scores (n,), above 1 where it is one, and what to say of face i."""
    with np.errstate(divide="ignore"):
        turned = robust_z(np.log(angles), MIN_SIGMA)
    jagged = np.where((angles > MAX_TURN) & (turned > MAX_TURN_Z), angles / MAX_TURN, 0)
    unlike = fit.rest / rest_limit(fit)
    ratio = fit.roughness / median(fit.roughness)
    likely = fit.noisy / noisy_limit(fit)
    seen, away = beside
    is_one = fit.alone >= MAX_ALONE
    rough = np.where((ratio > MIN_ROUGHNESS) & ~is_one, unlike, np.minimum(unlike, 1))
    noisy = np.where(np.isnan(seen), likely, seen)  # a picture says more than a shape
    jittered = np.fmax.reduce([rough, jagged, np.where(is_one, 0, noisy)])
    off = np.fmax(fit.pull / MAX_PULL, 0)
    misplaced = np.fmax.reduce([off, fit.out / MAX_OUT, np.where(is_one, noisy, 0)])

    def place(i: int) -> str:
        if noisy[i] > max(1, off[i], fit.out[i] / MAX_OUT):
            return noise(i)
        if fit.out[i] / MAX_OUT > off[i]:
            return f"{fit.out[i]:.1f} robust standard deviations from the mean along one mode"
        return (
            f"point {fit.worst[i]} lies {fit.beside[i]:.0%} of the face's size from where the "
            "others let it be expected"
        )

    def noise(i: int) -> str:
        if seen[i] > max(1, rough[i], jagged[i]):
            return f"in the picture the points lie {away[i]:.0%} of the face's size elsewhere"
        if noisy[i] > max(rough[i], jagged[i]):
            return f"far likelier with noise of {JITTER:.0%} of the face's size in all points"
        return f"the points are {ratio[i]:.1f} times as rough as usual"

    return {
        "swapped": (
            SWAPPED_RATIO / fit.mirrored,
            lambda i: f"a mirrored face fits {1 / fit.mirrored[i]:.1f} times better",
        ),
        "jittered": (jittered, noise),
        "misplaced": (misplaced, place),
        "shape-outlier": (np.fmax(unlike, fit.pull / OUTLIER_PULL), place),
    }


def _beside_scores(
    beside: Beside | None, shifted: dict, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores (n,), above 1 where points lie beside their places, and how far (n,), rms.

    A face that is shifted is that alone: so far from its face no point's place can be told.
    """
    if beside is None:
        return np.full(count, np.nan), np.full(count, np.nan)
    # How large the offsets are, and how much the cut is one of noisy labels: both together tell far
    # more than either.
    total = OFFSETS_WEIGHT * _above(np.log(robust_distances(beside.offsets))) + _above(beside.noisy)
    away = rms(beside.offsets) * np.sqrt(2)
    score = np.fmin(total / MAX_BESIDE, away / MIN_BESIDE)
    return np.where(shifted["shifted"][0] > 1, np.nan, score), away


def _above(values: np.ndarray) -> np.ndarray:
    """Return (n,) how many times as far above their median as three quarters the values lie."""
    middle, step = _middle_and_step(values)
    return (values - middle) / max(step, MIN_STEP)


def _shift_scores(shifts: Shifts | None) -> dict[str, tuple[np.ndarray, Callable]]:
    if shifts is None:
        return {}
    far, near = _lengths(shifts.far), _lengths(shifts.near)
    # In standard deviations of one direction, of which lengths are a Rayleigh distribution.
    spread = np.fmax(MIN_LENGTH, median(near) / 1.177)
    # One good face of a hundred lies beside its cut's middle, another looks like none. Few do both.
    score = np.minimum(near / spread, MAX_LENGTH) / 2 - robust_z(shifts.centred, MIN_CENTRED)

    def say(i: int) -> str:
        return f"about {max(far[i], near[i]):.0%} of the face's size beside the face in the image"

    return {
        "shifted": (score / MAX_SHIFTED, say),
        "perhaps-shifted": (score / MAX_PERHAPS_SHIFTED, say),
    }


def _lengths(offsets: np.ndarray) -> np.ndarray:
    """Return (n,) lengths of offsets (n, 2), less what all have in common."""
    return np.hypot(*(along - median(along) for along in offsets.T))
