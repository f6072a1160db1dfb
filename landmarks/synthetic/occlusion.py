"""Things in front of the face: glasses, a hand."""

import numpy as np

from landmarks.synthetic import contours as c
from landmarks.synthetic.brushes import ellipse, fill, glaze, stroke


def paint_glasses(
    rng: np.random.Generator, image: np.ndarray, points: np.ndarray, scale: float
) -> None:
    """Frames around both eyes, clear or dark, in place."""
    frame = rng.uniform(10, 120) + rng.normal(0, 20, 3)
    dark = rng.random() < 0.25
    high, square = rng.uniform(0.13, 0.2), rng.uniform(2, 5)
    across = points[c.OUTER_CORNERS[1]] - points[c.OUTER_CORNERS[0]]
    turn = np.arctan2(across[1], across[0])
    width = rng.choice([0.015, 0.03, 0.05]) * scale
    rings = []
    for lid, inner in ((c.LID_LEFT, c.INNER_CORNERS[0]), (c.LID_RIGHT, c.INNER_CORNERS[1])):
        outer_half = np.linalg.norm(points[lid][0] - points[inner]) * 0.5
        centre = points[lid].mean(0) + 0.03 * scale * np.array([-np.sin(turn), np.cos(turn)])
        # A power of the circle: 2 is an ellipse, 5 nearly a rectangle.
        round_ring = ellipse(np.zeros(2), (1.0, 1.0), 0.0, 40)
        norm = (np.abs(round_ring) ** square).sum(1, keepdims=True) ** (1 / square)
        x, y = (round_ring / norm * [outer_half + 0.07 * scale, high * scale]).T
        cos, sin = np.cos(turn), np.sin(turn)
        rings.append(np.stack([x * cos - y * sin, x * sin + y * cos], axis=1) + centre)
    for ring in rings:
        if dark:
            glaze(image, ring, np.clip(frame * 0.4, 0, 255), rng.uniform(0.75, 0.97), 0.01 * scale)
        shine = ring[22:28] * 0.7 + ring.mean(0) * 0.3
        alpha, blur = rng.uniform(0, 0.35), 0.02 * scale
        glaze(image, shine, (255, 255, 255), alpha, blur, line_width=0.03 * scale)
    bridge = np.stack([rings[0][0], rings[1][20]])
    left = np.stack([rings[0][20], points[c.FOREHEAD][136]])
    right = np.stack([rings[1][0], points[c.FOREHEAD][8]])
    stroke(image, rings, np.clip(frame, 0, 255), width, closed=True)
    stroke(image, [bridge, left, right], np.clip(frame, 0, 255), width)


def paint_hand(
    rng: np.random.Generator, image: np.ndarray, points: np.ndarray, skin: np.ndarray, scale: float
) -> None:
    """Fingers held over a part of the lower face, in place."""
    tip = points[rng.choice([20, 84, 905, 936, 445, 508, 50, 114])] + rng.normal(0, 0.1 * scale, 2)
    side = np.sign(tip[0] - points[c.NOSE_MIDLINE][:, 0].mean()) or 1.0
    angle = np.pi / 2 - side * rng.uniform(0.2, 0.9)
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    palm = ellipse(tip + along * 1.15 * scale, (0.62 * scale, 0.42 * scale), angle)
    fill(image, palm, skin * 0.85)
    for k in range(4):
        start = tip + across * (k - 1.5) * 0.2 * scale + along * scale * 0.08 * (k - 1.5) ** 2
        end = tip + along * 1.2 * scale + across * (k - 1.5) * 0.22 * scale
        stroke(image, [np.stack([start, end])], skin * 0.55, 0.22 * scale)
        stroke(image, [np.stack([start, end])], skin * rng.uniform(0.88, 1.0), 0.18 * scale)
        glaze(image, ellipse(start, (0.05 * scale,) * 2, 0), (255, 225, 215), 0.4, 0.01 * scale)
