"""What is behind the sitter, and the clothes they wear."""

import cv2
import numpy as np

from landmarks.synthetic.brushes import cloud, fill, stroke


def _colour(rng: np.random.Generator) -> np.ndarray:
    value = rng.uniform(20, 235)
    return np.clip(value + rng.normal(0, 28, 3), 0, 255)


def _gradient(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    corners = np.stack([_colour(rng) for _ in range(4)]).reshape(2, 2, 3).astype(np.float32)
    return cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR)


def _blobs(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    coarse = cloud(rng, (height, width), int(rng.integers(3, 9)), 3)
    grey = coarse.mean(axis=2, keepdims=True)
    colours = grey + (coarse - grey) * np.float32(rng.uniform(0.2, 0.9))
    return _colour(rng).astype(np.float32) + (colours - 0.5) * np.float32(rng.uniform(60, 200))


def _clutter(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    picture = np.full((height, width, 3), _colour(rng), np.uint8)
    for _ in range(rng.integers(4, 14)):
        x, y = rng.uniform(-0.1, 1.0, 2) * [width, height]
        w, h = rng.uniform(0.05, 0.5, 2) * [width, height]
        box = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])
        box = box + rng.normal(0, 0.04 * width, (1, 2)) + rng.normal(0, 2, (4, 2))
        if rng.random() < 0.7:
            fill(picture, box, _colour(rng))
        else:
            stroke(picture, [box], _colour(rng), rng.uniform(1, 6), closed=True)
    return cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.8, 4)).astype(np.float32)


def _foliage(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    fine = cloud(rng, (height, width), int(rng.integers(24, 60)), 1)
    coarse = cloud(rng, (height, width), 6, 1)
    mix = (0.6 * fine + 0.4 * coarse)[..., None]
    return mix * _colour(rng).astype(np.float32) + (1 - mix) * _colour(rng).astype(np.float32)


def paint_background(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A picture (height, width, 3) uint8 of a random kind."""
    kinds = (_gradient, _blobs, _clutter, _foliage)
    kind = kinds[rng.choice(4, p=[0.25, 0.3, 0.3, 0.15])]
    return np.clip(kind(rng, height, width), 0, 255).astype(np.uint8)


def paint_shoulders(
    rng: np.random.Generator, image: np.ndarray, throat: np.ndarray, scale: float
) -> None:
    """Clothes below the throat (2,), in place; scale is the eye-corner distance in pixels."""
    colour = _colour(rng)
    reach, slope = rng.uniform(1.6, 2.3), rng.uniform(0.25, 0.7)
    half = np.array(
        [[0.0, 0.45], [0.45, 0.05], [0.62, -0.08], [1.1, 0.12], [reach, slope], [reach + 0.4, 4.0]]
    )
    outline = np.concatenate([half[::-1] * [-1, 1], half[1:]]) * scale + throat
    fill(image, outline, colour)
    for side in (-1, 1):
        collar = half[:3] * [side, 1]
        if rng.random() < 0.6:
            lapel = np.concatenate([collar, collar[::-1] + np.array([0.16 * side, 0.28])])
            fill(image, lapel * scale + throat, np.clip(colour * rng.uniform(0.6, 1.5), 0, 255))
        stroke(image, [collar * scale + throat], colour * 0.6, 0.02 * scale)
