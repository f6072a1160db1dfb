"""How light falls on the face, and what the camera does to the finished picture."""

import cv2
import numpy as np

from landmarks.synthetic import contours, head

_ROWS, _COLUMNS = 84, 72
_GRID = np.stack(
    np.meshgrid(np.linspace(-1.0, 1.0, _COLUMNS), np.linspace(-1.0, 1.45, _ROWS)), axis=-1
)
_SURFACE = np.concatenate([_GRID, contours.skin_depth(_GRID)[..., None]], axis=-1).reshape(-1, 3)
# Rendered small and blown up: shading is soft, and the full size would cost ten times as much.
_SMALL = 56


def draw_light(rng: np.random.Generator) -> np.ndarray:
    """Direction (3,) towards the light, unit length; y points down, z to the viewer."""
    direction = np.array([rng.normal(0, 0.55), rng.normal(-0.45, 0.35), 1.0])
    return direction / np.linalg.norm(direction)


def shade_face(
    sitter: head.Head,
    light: np.ndarray,
    contrast: float,
    scale: float,
    origin: np.ndarray,
    at: tuple[slice, slice],
) -> np.ndarray:
    """Brightness factor (h, w) float32, about 1 in full light, for the image rows and columns `at`.

    Image coordinates are origin (2,) + scale * project(turned points).
    """
    turned = head.turn(sitter, head.warp_skin(sitter, _SURFACE))
    sheet = turned.reshape(_ROWS, _COLUMNS, 3)
    normal = np.cross(np.gradient(sheet, axis=1), np.gradient(sheet, axis=0)).reshape(-1, 3)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    diffuse = np.clip(normal @ light, 0, 1)
    halfway = light + np.array([0, 0, 1])
    gloss = np.clip(normal @ (halfway / np.linalg.norm(halfway)), 0, 1) ** 24
    shade = 1 - contrast + contrast * (0.15 + 1.1 * diffuse) + 0.12 * contrast * gloss
    seen = np.flatnonzero(normal[:, 2] > 0)
    seen = seen[np.argsort(turned[seen, 2])]

    height, width = at[0].stop - at[0].start, at[1].stop - at[1].start
    shrink = np.array([_SMALL / width, _SMALL / height])
    xy = origin + scale * head.project(turned[seen]) - [at[1].start, at[0].start]
    cell = np.round((xy + 0.5) * shrink - 0.5).astype(int)
    inside = ((cell >= 0) & (cell < _SMALL)).all(axis=1)
    cell, lit = cell[inside], shade[seen[inside]]
    picture = np.zeros((_SMALL, _SMALL, 2), np.float32)
    # Sorted from far to near, so that the nearest point of a cell is written last and stays.
    picture[cell[:, 1], cell[:, 0]] = np.stack([lit, np.ones_like(lit)], axis=1)
    near = cv2.GaussianBlur(picture, (0, 0), 0.9)
    # A wide, faint copy fills cells that no point of the surface fell into.
    far = cv2.GaussianBlur(picture, (0, 0), 5)
    total = near + 0.02 * far
    small = (total[..., 0] + 1e-4) / (total[..., 1] + 1e-4)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


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
