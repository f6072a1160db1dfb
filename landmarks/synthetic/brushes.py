"""A picture with sub-pixel, anti-aliased brushes. Coordinates: pixel centres are integers."""

from collections.abc import Sequence

import cv2
import numpy as np

_BITS = 4


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.round(np.asarray(points, dtype=np.float64) * (1 << _BITS)).astype(np.int32)


def colours(hexadecimal: str) -> np.ndarray:
    """Return colours (n, 3), 0..255, of numbers such as 2d1c14."""
    return np.array([list(bytes.fromhex(colour)) for colour in hexadecimal.split()])


def fill(image: np.ndarray, points: np.ndarray, colour: Sequence[float]) -> None:
    """Fill the polygon points (n, 2) of image (H, W, 3) or (H, W) uint8 in place."""
    cv2.fillPoly(image, [_fixed(points)], tuple(float(v) for v in colour), cv2.LINE_AA, _BITS)


def stroke(
    image: np.ndarray,
    lines: Sequence[np.ndarray],
    colour: Sequence[float],
    width: float,
    closed: bool = False,
) -> None:
    """Draw polylines, each (n, 2); width in pixels, at least one."""
    fixed = [_fixed(line) for line in lines]
    thick = max(1, round(width))
    cv2.polylines(image, fixed, closed, tuple(float(v) for v in colour), thick, cv2.LINE_AA, _BITS)


def region(image: np.ndarray, points: np.ndarray, margin: float) -> tuple[slice, slice] | None:
    """Rows and columns of image around points (n, 2), or None where they are outside."""
    low = np.floor(points.min(0) - margin).astype(int)
    high = np.ceil(points.max(0) + margin).astype(int) + 1
    height, width = image.shape[:2]
    x0, y0 = max(low[0], 0), max(low[1], 0)
    x1, y1 = min(high[0], width), min(high[1], height)
    return (slice(y0, y1), slice(x0, x1)) if x1 > x0 and y1 > y0 else None


def blend(patch: np.ndarray, colour: Sequence[float] | np.ndarray, mask: np.ndarray) -> None:
    """Mix colour, one (3,) or a picture like patch, into patch by mask (h, w) in [0, 1]."""
    paint = np.asarray(colour, dtype=np.float32)
    base = patch.astype(np.float32)
    base += (paint - base) * mask[..., None]
    patch[...] = cv2.convertScaleAbs(base)


def glaze(
    image: np.ndarray,
    points: np.ndarray,
    colour: Sequence[float],
    alpha: float,
    blur: float,
    line_width: float | None = None,
) -> None:
    """Softly paint a polygon, or with line_width a line; blur is a sigma in pixels."""
    at = region(image, points, 2.5 * blur + 2 + (line_width or 0))
    if at is None or alpha <= 0:
        return
    patch = image[at]
    mask = np.zeros(patch.shape[:2], np.uint8)
    shifted = points - [at[1].start, at[0].start]
    if line_width is None:
        fill(mask, shifted, (255,))
    else:
        stroke(mask, [shifted], (255,), line_width)
    if blur > 0.3:
        mask = cv2.GaussianBlur(mask, (0, 0), blur)
    blend(patch, colour, mask.astype(np.float32) * (alpha / 255))


def ellipse(centre: np.ndarray, axes: Sequence[float], turn: float, count: int = 24) -> np.ndarray:
    """Polygon (count, 2) of an ellipse with half axes in pixels, turned by radians."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    x, y = axes[0] * np.cos(angle), axes[1] * np.sin(angle)
    cos, sin = np.cos(turn), np.sin(turn)
    return np.stack([x * cos - y * sin, x * sin + y * cos], axis=1) + centre


def cloud(
    rng: np.random.Generator, shape: tuple[int, int], cells: int, channels: int
) -> np.ndarray:
    """Smooth noise (h, w, channels) or (h, w), float32, about uniform in [0, 1]."""
    small = rng.random((cells, cells, channels), dtype=np.float32)
    return cv2.resize(small, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
