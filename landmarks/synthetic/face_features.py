"""Eyes, brows, nose and mouth, painted along their landmarks.

Throughout, points are the face's (971, 2) in pixels and scale is the eye-corner distance.
"""

import numpy as np

from landmarks.synthetic import contours as c
from landmarks.synthetic.brushes import blend, colours, ellipse, fill, glaze, region, stroke

_IRIS_COLOURS = colours("462d1c 2d1e16 5f4628 55696e 46648c 556e4b")
_IRIS_RADIUS = 0.062


def paint_eyes(
    rng: np.random.Generator, image: np.ndarray, points: np.ndarray, skin: np.ndarray, scale: float
) -> None:
    """Sockets, lids, sclera, iris and pupil, in place."""
    iris = _IRIS_COLOURS[rng.integers(len(_IRIS_COLOURS))] * rng.uniform(0.75, 1.2)
    white = np.array([228, 224, 220]) * rng.uniform(0.8, 1.02) - [0, 4, 8]
    lash = skin * rng.uniform(0.15, 0.4)
    makeup = rng.random() < 0.2
    shadow = rng.uniform(60, 160, 3) if makeup else skin * [0.72, 0.62, 0.6]
    depth = rng.uniform(0.25, 0.6)
    glint = rng.normal([-0.024, -0.026], 0.006) * scale
    sides = ((c.EYE_LEFT, c.LID_LEFT, c.PUPIL_LEFT), (c.EYE_RIGHT, c.LID_RIGHT, c.PUPIL_RIGHT))
    for eye, lid, pupil in sides:
        loop, rim, centre = points[eye], points[lid], points[pupil]
        up = _upwards(points) * scale
        socket = ellipse(rim.mean(0) + 0.05 * up, (0.2 * scale, 0.11 * scale), _tilt(points))
        glaze(image, socket, shadow, depth, 0.045 * scale)
        crease = rim[3:31] + 0.035 * up
        glaze(image, crease, skin * 0.5, 0.5, 0.008 * scale, line_width=0.012 * scale)
        fill(image, rim, skin * [0.84, 0.72, 0.68])
        _paint_ball(image, _visible(loop, rim), rim, centre, white, iris, scale, glint)
        stroke(image, [rim[1:31]], lash, (0.028 if makeup else 0.018) * scale)
        glaze(image, rim[36:62], lash, 0.5, 0.004 * scale, line_width=0.01 * scale)


def _upwards(points: np.ndarray) -> np.ndarray:
    across = points[c.OUTER_CORNERS[1]] - points[c.OUTER_CORNERS[0]]
    return np.array([across[1], -across[0]]) / (np.linalg.norm(across) + 1e-9)


def _tilt(points: np.ndarray) -> float:
    across = points[c.OUTER_CORNERS[1]] - points[c.OUTER_CORNERS[0]]
    return float(np.arctan2(across[1], across[0]))


def _visible(loop: np.ndarray, rim: np.ndarray) -> np.ndarray:
    """The opening between the lids: the inner loop, drawn out towards the corners of the rim."""
    outer = loop[0] + 0.75 * (rim[0] - loop[0])
    inner = loop[32] + 0.75 * (rim[32] - loop[32])
    return np.concatenate([outer[None], loop[3:29], inner[None], loop[36:60]])


def _paint_ball(
    image: np.ndarray,
    opening: np.ndarray,
    rim: np.ndarray,
    centre: np.ndarray,
    white: np.ndarray,
    iris: np.ndarray,
    scale: float,
    glint: np.ndarray,
) -> None:
    at = region(image, rim, 3)
    if at is None:
        return
    patch = image[at]
    corner = np.array([at[1].start, at[0].start])
    ball = np.empty_like(patch)
    ball[:] = np.clip(white, 0, 255).astype(np.uint8)
    # Foreshortening narrows the iris as it narrows the eye.
    wide = np.linalg.norm(rim[32] - rim[0]) / (0.31 * scale)
    axes = np.array([np.clip(wide, 0.6, 1.0), 1.0]) * _IRIS_RADIUS * scale
    for size, colour in ((1.0, iris * 0.55), (0.85, iris), (0.45, iris * 0.12)):
        fill(ball, ellipse(centre - corner, axes * size, 0.0), colour)
    fill(ball, ellipse(centre - corner + glint, (0.01 * scale,) * 2, 0.0, 10), (250, 250, 250))
    # The upper lid shades the ball under it.
    upper = opening[:28] - corner
    glaze(ball, upper, (50, 35, 30), 0.5, 0.008 * scale, line_width=0.02 * scale)
    mask = np.zeros(patch.shape[:2], np.uint8)
    fill(mask, opening - corner, (255,))
    blend(patch, ball, mask.astype(np.float32) / 255)


def paint_brows(
    rng: np.random.Generator, image: np.ndarray, points: np.ndarray, hair: np.ndarray, scale: float
) -> None:
    """Two brows of short hairs inside their loops, in place."""
    colour = np.clip(hair * 0.7, 0, 200)
    alpha = rng.uniform(0.45, 0.95)
    for brow in (points[c.BROW_LEFT], points[c.BROW_RIGHT]):
        glaze(image, brow, colour, alpha, 0.009 * scale)
        upper, lower = brow[1:32], brow[62:35:-1]
        root = lower[rng.integers(0, 27, 26)]
        # A hair leans outwards along the brow and stays inside it.
        nearest = np.argmin(((upper[None] - root[:, None]) ** 2).sum(-1), axis=1)
        tip = upper[np.clip(nearest - 3, 0, 30)]
        share = rng.uniform(0.0, 0.3, (26, 1))
        hairs = np.stack([root + share * (tip - root), root + (share + 0.6) * (tip - root)], axis=1)
        stroke(image, list(hairs), colour * 0.75, 0.008 * scale)


def paint_nose(
    rng: np.random.Generator, image: np.ndarray, points: np.ndarray, skin: np.ndarray, scale: float
) -> None:
    """Nostrils, wings and the shadow beneath, in place; the ridge comes from the light."""
    dark = skin * [0.42, 0.3, 0.28]
    fold = skin * [0.7, 0.58, 0.55]
    base = np.concatenate([points[c.NOSE_LEFT][47:], points[c.NOSE_RIGHT][:46:-1]])
    down = -_upwards(points) * scale
    under = np.concatenate([base, base[::-1] + 0.06 * down])
    glaze(image, under, fold, rng.uniform(0.3, 0.7), 0.018 * scale)
    for side in (points[c.NOSE_LEFT], points[c.NOSE_RIGHT]):
        alpha = rng.uniform(0.15, 0.5)
        glaze(image, side[8:36], fold, alpha, 0.02 * scale, line_width=0.03 * scale)
        glaze(image, side[36:50], dark, 0.5, 0.011 * scale, line_width=0.02 * scale)
        glaze(image, side[49:], dark, 0.45, 0.008 * scale, line_width=0.014 * scale)
        hole = ellipse(side[55] - 0.018 * down, (0.045 * scale, 0.02 * scale), _tilt(points))
        glaze(image, hole, dark * 0.45, 0.9, 0.008 * scale)
    tip = points[567]
    glaze(image, ellipse(tip, (0.05 * scale,) * 2, 0), (255, 250, 240), 0.12, 0.03 * scale)
    philtrum = points[c.NOSE_MIDLINE][54:]
    glaze(image, philtrum, fold, 0.35, 0.014 * scale, line_width=0.03 * scale)


def paint_mouth(
    rng: np.random.Generator, image: np.ndarray, points: np.ndarray, skin: np.ndarray, scale: float
) -> None:
    """Lips between their outer and inner contours, and what shows when they part, in place."""
    painted = rng.random() < 0.3
    natural = skin * [0.86, 0.6, 0.6]
    colour = np.array([rng.uniform(130, 215), rng.uniform(25, 80), rng.uniform(40, 100)])
    lips = 0.35 * natural + 0.65 * colour if painted else natural * rng.uniform(0.85, 1.05)
    inner_up, inner_low = points[c.LIP_UPPER_INNER], points[c.LIP_LOWER_INNER]
    down = -_upwards(points) * scale
    shadow = points[c.LIP_LOWER_OUTER][5:27] + 0.045 * down
    glaze(image, shadow, skin * [0.68, 0.58, 0.56], 0.45, 0.03 * scale, line_width=0.05 * scale)
    upper = np.concatenate([points[c.LIP_UPPER_OUTER], inner_up])
    lower = np.concatenate([points[c.LIP_LOWER_OUTER], inner_low])
    fill(image, upper, np.clip(lips * [0.88, 0.84, 0.84], 0, 255))
    fill(image, lower, np.clip(lips, 0, 255))
    shine = 0.55 * points[c.LIP_LOWER_OUTER][11:21] + 0.45 * inner_low[20:10:-1]
    glaze(image, shine, (255, 235, 230), 0.2, 0.014 * scale, line_width=0.025 * scale)
    hollow = np.concatenate([inner_up, inner_low[::-1]])
    open_by = np.linalg.norm(inner_up[16] - inner_low[16])
    if open_by > 0.03 * scale:
        _paint_inside(rng, image, hollow, inner_up, inner_low, scale)
    seam = 0.5 * (inner_up + inner_low) if open_by < 0.03 * scale else inner_up
    glaze(image, seam, lips * 0.3, 0.8, 0.005 * scale, line_width=0.012 * scale)


def _paint_inside(
    rng: np.random.Generator,
    image: np.ndarray,
    hollow: np.ndarray,
    inner_up: np.ndarray,
    inner_low: np.ndarray,
    scale: float,
) -> None:
    at = region(image, hollow, 2)
    if at is None:
        return
    patch, corner = image[at], np.array([at[1].start, at[0].start])
    inside = np.empty_like(patch)
    inside[:] = (58, 22, 24)
    tall = inner_low - inner_up
    gap = np.linalg.norm(tall[16])
    tongue = np.concatenate([inner_low[6:26], (inner_low - 0.3 * tall)[25:5:-1]]) - corner
    glaze(inside, tongue, (150, 70, 70), 0.8, 0.015 * scale)
    if rng.random() < 0.85:
        reach = min(1.0, rng.uniform(0.07, 0.11) * scale / gap)
        teeth = np.concatenate([inner_up[2:30], (inner_up + reach * tall)[29:1:-1]]) - corner
        fill(inside, teeth, np.array([236, 230, 216]) * rng.uniform(0.75, 1.0))
        for k in range(4, 29, 3):
            line = np.stack([inner_up[k], inner_up[k] + reach * tall[k]]) - corner
            glaze(inside, line, (120, 100, 90), 0.35, 0.0, line_width=1)
        glaze(inside, inner_up - corner, (60, 30, 30), 0.5, 0.01 * scale, line_width=0.02 * scale)
    mask = np.zeros(patch.shape[:2], np.uint8)
    fill(mask, hollow - corner, (255,))
    blend(patch, inside, mask.astype(np.float32) / 255)
