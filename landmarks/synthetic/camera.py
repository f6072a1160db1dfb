"""What the camera does to the finished picture: colours, blur, noise, black bars."""

import cv2
import numpy as np


def take_photo(rng: np.random.Generator, image: np.ndarray, scale: float) -> np.ndarray:
    """A new picture of image (H, W, 3) uint8; scale is the eye-corner distance in pixels."""
    ramp = np.arange(256, dtype=np.float64) / 255
    exposure = ramp ** np.exp(rng.normal(0, 0.25))
    gains = np.exp(rng.normal(0, 0.06, 3)) * rng.uniform(0.75, 1.1)
    table = np.clip(exposure[:, None] * gains * 255 + rng.normal(0, 5), 0, 255).astype(np.uint8)
    photo = cv2.LUT(image, table[None])
    if rng.random() < 0.08:
        photo = cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if rng.random() < 0.5:
        photo = cv2.GaussianBlur(photo, (0, 0), rng.uniform(0.3, 0.016 * scale + 0.4))
    strengths = [0.0, rng.uniform(0.01, 0.05), rng.uniform(0.05, 0.15)]
    strength = rng.choice(strengths, p=[0.3, 0.5, 0.2])
    if strength > 0:
        noise = rng.integers(0, 256, photo.shape, dtype=np.uint8)
        # 255 steps of even noise have a deviation of 74: strength 0.1 is about 7 grey levels.
        photo = cv2.addWeighted(photo, 1.0, noise, strength, -127.5 * strength)
    if rng.random() < 0.35:
        _black_bars(rng, photo)
    return photo


def _black_bars(rng: np.random.Generator, photo: np.ndarray) -> None:
    height, width = photo.shape[:2]
    sides = rng.random(4) < [0.6, 0.6, 0.3, 0.2]
    left, right, top, bottom = (rng.uniform(0.02, [0.14, 0.14, 0.1, 0.12]) * sides).tolist()
    photo[:, : round(left * width)] = 0
    photo[:, width - round(right * width) :] = 0
    photo[: round(top * height)] = 0
    photo[height - round(bottom * height) :] = 0
