"""The neutral face: 971 points on mirror-symmetric splines, and the depth of the skin under them.

Unit: the distance between the outer eye corners (650 and 777). Origin: midway between them.
x grows to the image's right, y downwards, z out of the picture towards the viewer.
"""

import numpy as np

JAW_LEFT, JAW_RIGHT = slice(0, 64), slice(64, 128)
FOREHEAD = slice(128, 273)
BROW_LEFT, BROW_RIGHT = slice(273, 337), slice(337, 401)
NOSE_LEFT, NOSE_RIGHT, NOSE_MIDLINE = slice(401, 464), slice(464, 527), slice(527, 587)
EYE_LEFT, LID_LEFT = slice(587, 650), slice(650, 714)
EYE_RIGHT, LID_RIGHT = slice(714, 777), slice(777, 841)
LIP_UPPER_OUTER, LIP_UPPER_INNER = slice(841, 873), slice(873, 905)
LIP_LOWER_OUTER, LIP_LOWER_INNER = slice(905, 937), slice(937, 969)
PUPIL_LEFT, PUPIL_RIGHT = 969, 970
OUTER_CORNERS = (650, 777)
INNER_CORNERS = (682, 809)
NUM_POINTS = 971


def flip_permutation() -> np.ndarray:
    """Index of each point's mirror image, (971,) int64, an involution with 61 fixed points."""
    flip = np.arange(NUM_POINTS)
    pairs = (
        (JAW_LEFT, JAW_RIGHT),
        (BROW_LEFT, BROW_RIGHT),
        (NOSE_LEFT, NOSE_RIGHT),
        (slice(EYE_LEFT.start, LID_LEFT.stop), slice(EYE_RIGHT.start, LID_RIGHT.stop)),
        (slice(PUPIL_LEFT, PUPIL_LEFT + 1), slice(PUPIL_RIGHT, PUPIL_RIGHT + 1)),
    )
    for left, right in pairs:
        flip[left], flip[right] = flip[right].copy(), flip[left].copy()
    for own in (FOREHEAD, LIP_UPPER_OUTER, LIP_UPPER_INNER, LIP_LOWER_OUTER, LIP_LOWER_INNER):
        flip[own] = flip[own][::-1].copy()
    return flip


FLIP = flip_permutation()
MIRROR = np.array([-1.0, 1.0, 1.0])

# Knots are (index within the contour, x, y): the index sets the spacing of the points between.
# Paired regions are given for the image's left side, self-mirrored ones for their first half.
_LEFT_KNOTS = (
    (
        JAW_LEFT,
        """0 -.014 1.288, 6 -.18 1.26, 12 -.31 1.195, 20 -.45 1.09, 28 -.565 .97, 35 -.64 .855,
        42 -.70 .705, 49 -.743 .535, 56 -.765 .357, 60 -.768 .256, 63 -.78 .18""",
    ),
    (
        BROW_LEFT,
        """0 -.605 -.15, 2 -.625 -.165, 4 -.615 -.185, 8 -.57 -.218, 14 -.486 -.252,
        20 -.38 -.257, 26 -.257 -.246, 31 -.16 -.23, 32 -.15 -.218, 34 -.146 -.177,
        35.5 -.134 -.145, 37 -.15 -.138, 40 -.209 -.158, 45 -.317 -.196, 49 -.395 -.204,
        53 -.47 -.197, 57 -.54 -.17, 60 -.567 -.145, 62 -.587 -.134, 63 -.597 -.14""",
    ),
    (
        NOSE_LEFT,
        """0 -.112 .058, 3 -.106 .078, 8 -.107 .118, 14 -.129 .18, 22 -.163 .262, 30 -.2 .345,
        36 -.219 .396, 39.5 -.228 .418, 42 -.223 .438, 45 -.21 .472, 48 -.202 .493, 50 -.185 .504,
        54 -.15 .512, 58 -.11 .519, 62 -.06 .524""",
    ),
    (
        EYE_LEFT,
        """0 -.439 .003, 3 -.43 -.004, 8 -.412 -.018, 12 -.392 -.028, 17 -.357 -.035,
        22 -.318 -.031, 27 -.277 -.012, 31 -.252 .010, 33 -.25 .016, 37 -.272 .02, 42 -.306 .029,
        48 -.349 .036, 54 -.388 .032, 59 -.415 .022, 62 -.434 .008""",
    ),
    (
        LID_LEFT,
        """0 -.5 0, 2 -.493 -.012, 4 -.482 -.022, 8 -.455 -.039, 12 -.42 -.052, 18 -.353 -.06,
        24 -.278 -.049, 28 -.231 -.027, 31 -.199 .001, 32 -.19 .011, 33 -.19 .019, 36 -.216 .028,
        42 -.278 .042, 48 -.344 .05, 54 -.406 .047, 58 -.443 .039, 61 -.471 .026, 63 -.492 .009""",
    ),
)
_HALF_KNOTS = (
    (
        FOREHEAD,
        """0 .768 .26, 8 .812 .066, 16 .873 -.125, 20 .893 -.22, 24 .899 -.316, 28 .893 -.405,
        32 .873 -.489, 36 .838 -.57, 40 .787 -.636, 44 .715 -.69, 48 .638 -.734, 56 .447 -.796,
        64 .229 -.825, 72 0 -.828""",
    ),
    (
        LIP_UPPER_OUTER,
        """0 -.278 .763, 4 -.232 .727, 8 -.172 .697, 11 -.112 .676, 13 -.066 .674,
        15.5 0 .688""",
    ),
    (LIP_UPPER_INNER, "0 .268 .764, 4 .204 .757, 8 .15 .752, 12 .077 .752, 15.5 0 .757"),
    (LIP_LOWER_OUTER, "0 -.278 .763, 4 -.231 .822, 8 -.17 .868, 12 -.086 .9, 15.5 0 .908"),
    (LIP_LOWER_INNER, "0 .268 .764, 4 .204 .766, 8 .15 .766, 12 .077 .768, 15.5 0 .77"),
)
_MIDLINE_KNOTS = """0 0 -.26, 12 0 -.04, 24 0 .14, 32 0 .264, 40 0 .405, 44 0 .473, 48 0 .508,
    51 0 .514, 54 0 .533, 57 0 .592, 59 0 .64"""
_PUPIL_LEFT = (-0.348, -0.003)

# Bumps on the skull: x, y, width, height, depth. Those off the midline stand for a mirrored pair.
_BUMPS = """0 .28 .085 .13 .14, 0 .42 .085 .07 .19, 0 .05 .09 .20 .05, .15 .46 .055 .06 .06,
    .3 .0 .14 .09 -.12, .36 -.2 .22 .07 .05, 0 .80 .20 .16 .09, 0 1.17 .20 .12 .06,
    .45 .42 .2 .2 .04, .95 -.12 .3 .5 .2, .6 1.0 .25 .3 -.14"""


def _table(text: str) -> np.ndarray:
    return np.array([[float(v) for v in row.split()] for row in text.split(",")])


def _spline(knots: np.ndarray, count: int) -> np.ndarray:
    """Cubic Hermite curve (count, 2) through knots (n, 3) of (index, x, y)."""
    t, p = knots[:, 0], knots[:, 1:]
    slopes = np.diff(p, axis=0) / np.diff(t)[:, None]
    tangents = np.concatenate([slopes[:1], (slopes[1:] + slopes[:-1]) / 2, slopes[-1:]])
    at = np.arange(count, dtype=float)
    k = np.clip(np.searchsorted(t, at, side="right") - 1, 0, len(t) - 2)
    h = (t[k + 1] - t[k])[:, None]
    u = (at - t[k])[:, None] / h
    return (
        (2 * u**3 - 3 * u**2 + 1) * p[k]
        + (u**3 - 2 * u**2 + u) * h * tangents[k]
        + (3 * u**2 - 2 * u**3) * p[k + 1]
        + (u**3 - u**2) * h * tangents[k + 1]
    )


def skin_depth(xy: np.ndarray) -> np.ndarray:
    """Height z (...,) of the neutral skin towards the viewer at xy (..., 2)."""
    x, y = np.abs(xy[..., 0]), xy[..., 1]
    # The forehead is broader than the jaw: the same fall-off starts further out.
    wide = x / (1.0 + 0.17 * (1 + np.tanh(-3 * y - 0.3)))
    z = 0.25 - 0.45 * wide**2 - 1.75 * wide**4
    z -= 0.25 * np.maximum(-y - 0.2, 0) ** 2 + 0.25 * np.maximum(y - 0.7, 0) ** 2
    for cx, cy, width, height, depth in _table(_BUMPS):
        z = z + depth * np.exp(-(((x - cx) / width) ** 2) - ((y - cy) / height) ** 2)
    return z


def neutral_points() -> np.ndarray:
    """The neutral face (971, 3), exactly mirror symmetric under FLIP."""
    xy = np.zeros((NUM_POINTS, 2))
    for region, text in _LEFT_KNOTS:
        xy[region] = _spline(_table(text), region.stop - region.start)
    xy[PUPIL_LEFT] = _PUPIL_LEFT
    for region, text in _HALF_KNOTS:
        count = region.stop - region.start
        half = _table(text)
        other = half[::-1] * [-1, -1, 1] + [count - 1, 0, 0]
        middle = other[0, 0] == half[-1, 0]
        xy[region] = _spline(np.concatenate([half, other[1:] if middle else other]), count)
    # The knots follow the average of heads turned both ways, whose outline looks narrower.
    xy[: FOREHEAD.stop, 0] *= 1.05
    xy[NOSE_MIDLINE] = _spline(_table(_MIDLINE_KNOTS), NOSE_MIDLINE.stop - NOSE_MIDLINE.start)
    left = np.concatenate([np.arange(NUM_POINTS)[r] for r, _ in _LEFT_KNOTS] + [[PUPIL_LEFT]])
    xy[FLIP[left]] = xy[left] * MIRROR[:2]
    points = np.concatenate([xy, skin_depth(xy)[:, None]], axis=1)
    # Splines through mirrored knots agree to rounding only; averaging makes them agree exactly.
    return (points + points[FLIP] * MIRROR) / 2
