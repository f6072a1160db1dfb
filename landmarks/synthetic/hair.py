"""Everything of the head but the face: hair, ears, neck."""

from dataclasses import dataclass

import numpy as np

from landmarks.synthetic import contours as c
from landmarks.synthetic.brushes import colours, ellipse, fill, glaze, stroke

_COLOURS = colours("181414 2d2019 503724 785534 b9965f 823c23 a5a2a0")


@dataclass(frozen=True)
class Hair:
    """How the hair is worn. Lengths in eye-corner distances."""

    colour: np.ndarray
    style: str  # "bald", "short" or "long"
    volume: float
    length: float
    wave: np.ndarray
    fringe: float
    parting: float


def draw_hair(rng: np.random.Generator) -> Hair:
    """A random cut."""
    style = str(rng.choice(["bald", "short", "long"], p=[0.1, 0.5, 0.4]))
    return Hair(
        colour=_COLOURS[rng.integers(len(_COLOURS))] * rng.uniform(0.8, 1.15),
        style=style,
        volume=float(rng.uniform(0.02, 0.3)),
        length=float(rng.uniform(1.0, 2.6)),
        wave=rng.normal(0, 1, 8),
        fringe=float(rng.choice([rng.uniform(0.0, 0.06), rng.uniform(0.1, 0.4)], p=[0.8, 0.2])),
        parting=float(rng.uniform(-0.5, 0.5)),
    )


def paint_neck(
    rng: np.random.Generator,
    image: np.ndarray,
    skin: np.ndarray,
    head_base: np.ndarray,
    throat: np.ndarray,
    scale: float,
) -> None:
    """A neck from under the jaw, head_base (2,), to the throat (2,), in place."""
    across = np.array([scale * rng.uniform(0.48, 0.6), 0.0])
    foot = np.array([0, 0.5 * scale])
    flare = np.array([0.25 * scale, 0.0])
    left = head_base - across, throat - across, throat - across - flare + foot
    right = throat + across + flare + foot, throat + across, head_base + across
    fill(image, np.stack([*left, *right]), skin * 0.8)
    for side in (-1, 1):
        edge = np.stack([head_base + side * across, throat + side * across])
        glaze(image, edge, skin * 0.5, 0.6, 0.1 * scale, line_width=0.12 * scale)


def paint_jaw_shadow(image: np.ndarray, points: np.ndarray, skin: np.ndarray, scale: float) -> None:
    """The head's shadow on the neck, in place: it sets the jaw off from the throat."""
    jaw = np.concatenate([points[c.JAW_LEFT][40::-1], points[c.JAW_RIGHT][:41]])
    glaze(image, jaw + np.array([0, 0.1 * scale]), skin * [0.5, 0.44, 0.42], 0.7, 0.07 * scale)


def paint_ears(
    image: np.ndarray, skin: np.ndarray, ears: np.ndarray, turn: float, yaw: float, scale: float
) -> None:
    """Ears centred at ears (2, 2), image-left first, in place. An ear widens as it turns to us."""
    for side, centre in zip((-1, 1), ears, strict=True):
        wide = 0.1 - side * yaw * 0.002
        outline = ellipse(centre, (wide * scale, 0.24 * scale), turn + side * 0.15)
        fill(image, outline, skin * [0.86, 0.78, 0.76])
        inner = ellipse(centre, (0.5 * wide * scale, 0.15 * scale), turn + side * 0.15)
        glaze(image, inner, skin * [0.6, 0.46, 0.44], 0.7, 0.02 * scale)


def _skull(hair: Hair, middle: np.ndarray, turn: float, scale: float, swell: float) -> np.ndarray:
    """Silhouette (110, 2) of the head's upper part and, narrower, its lower part."""
    angle = np.linspace(0, 2 * np.pi, 110, endpoint=False)
    bumps = sum(0.012 * w * np.cos((k + 2) * angle + 3 * w) for k, w in enumerate(hair.wave))
    radius = 1 + swell + bumps * (0.3 + 2 * swell)
    x, y = 1.03 * np.cos(angle) * radius, 1.1 * np.sin(angle) * radius
    x = x * np.where(y > 0, 1 - 0.22 * np.clip(y / 0.7, 0, 1) ** 1.5, 1)
    cos, sin = np.cos(turn), np.sin(turn)
    return np.stack([x * cos - y * sin, x * sin + y * cos], axis=1) * scale + middle


def paint_hair(
    rng: np.random.Generator,
    image: np.ndarray,
    hair: Hair,
    skin: np.ndarray,
    middle: np.ndarray,
    turn: float,
    scale: float,
) -> None:
    """Hair around the skull's middle (2,), in place, to be painted before the face."""
    if hair.style == "bald":
        fill(image, _skull(hair, middle, turn, scale, 0.0), skin * 0.88)
        return
    cap = _skull(hair, middle, turn, scale, hair.volume)
    crown = middle + np.array([hair.parting * 0.6, -0.75]) * scale
    fill(image, cap, hair.colour * 0.8)
    ends = cap + rng.normal(0, 0.015 * scale, cap.shape)
    if hair.style == "long":
        ends = np.concatenate([ends, _paint_curtains(rng, image, hair, middle, scale)])
    _paint_strands(rng, image, crown, ends, hair.colour, scale)


def _paint_curtains(
    rng: np.random.Generator, image: np.ndarray, hair: Hair, middle: np.ndarray, scale: float
) -> np.ndarray:
    ends = []
    for side in (-1, 1):
        out = 1.02 + hair.volume + 0.04 * hair.wave[:5] * hair.volume * 3
        y = np.linspace(-0.3, hair.length, 5)
        edge = np.stack([side * out * [0.98, 1.03, 1.04, 1.0, 0.8], y], axis=1)
        inner = np.stack([np.full(5, side * 0.3), y], axis=1)
        fill(image, np.concatenate([edge, inner[::-1]]) * scale + middle, hair.colour * 0.72)
        low = np.array([side * 0.72, hair.length]) + rng.normal(0, [0.16, 0.12], (14, 2))
        ends.append(low * scale + middle)
    return np.concatenate(ends)


def _paint_strands(
    rng: np.random.Generator,
    image: np.ndarray,
    crown: np.ndarray,
    ends: np.ndarray,
    colour: np.ndarray,
    scale: float,
) -> None:
    t = np.linspace(0.1, 0.98, 8)[None, :, None]
    way = ends[:, None] - crown
    bow = rng.normal(0, 0.04 * scale, (len(ends), 1, 2)) * np.sin(np.pi * t)
    # Strands leave the crown sideways before they fall: t on x runs ahead of t on y.
    lines = crown + way * np.concatenate([t**0.7, t**1.2], axis=2) + bow
    for k in range(7):
        tone = np.clip(colour * rng.uniform(0.7, 1.3) + 3, 0, 255)
        stroke(image, list(lines[k::7]), tone, rng.uniform(0.006, 0.022) * scale)


def paint_hairline(
    rng: np.random.Generator, image: np.ndarray, hair: Hair, points: np.ndarray, scale: float
) -> None:
    """Roots and, where worn, a fringe falling from the forehead's arc, in place, over the face."""
    arc = points[c.FOREHEAD]
    if hair.style == "bald":
        return
    count = 130
    chin, top = points[0], arc[72]
    down = (chin - top) / (np.linalg.norm(chin - top) + 1e-9)
    at = rng.uniform(14, 130, count)
    low = at.astype(int)
    edge = arc[low] + (at - low)[:, None] * (arc[low + 1] - arc[low])
    swept = np.minimum(np.abs(at - 72 - 60 * hair.parting) / 80 + 0.5, 1.1)
    reach = scale * hair.fringe * rng.uniform(0.3, 1.05, count) ** 2 * swept
    middle = points[c.NOSE_MIDLINE][0]
    way = down + 0.6 * (middle - edge) / scale + rng.normal(0, 0.2, (count, 2))
    root = edge - way * rng.uniform(0.04, 0.2, (count, 1)) * scale
    tips = edge + way * reach[:, None]
    bend = edge + rng.normal(0, 0.012 * scale, (count, 2))
    locks = np.stack([root, bend, tips], axis=1)
    # Shade behind the hairline only: the contour stays where the skin begins.
    behind = arc[8:137] + 0.035 * (arc[8:137] - middle)
    glaze(image, behind, hair.colour * 0.7, 0.5, 0.012 * scale, line_width=0.03 * scale)
    for k in range(6):
        tone = np.clip(hair.colour * rng.uniform(0.65, 1.2), 0, 255)
        stroke(image, list(locks[k::6]), tone, (0.012 + 0.06 * hair.fringe) * scale)
