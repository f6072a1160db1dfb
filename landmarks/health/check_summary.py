"""The check in words: counts first, then what the faces are like."""

import numpy as np

from landmarks.data.faces import Faces
from landmarks.errors import say_count
from landmarks.geometry import BoxCrop, Crop, box_matrix, crop_matrix, invert, transform
from landmarks.health.image_facts import GOOD
from landmarks.health.inspect_data import Health
from landmarks.health.suspects import ERRORS, count_reasons

BLOCK = 256  # faces looked at at once
PERCENTILES = (1, 50, 99)


def try_crop(
    faces: Faces, rows: np.ndarray, sizes: np.ndarray, crop: Crop | BoxCrop, size: int
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the round trip's error, the faces' sizes in the input, and the shares of points lost.

    Args:
        faces: with points; for a `BoxCrop` with boxes.
        rows: (n,) faces whose images' sizes are known.
        sizes: (N, 2), width and height.
        crop: as `landmarks.data.crops.boxes.frame_faces` returns it.
        size: side of the input, in pixels.

    Returns:
        The largest distance, in original pixels, between a point and where it is after the way to
        the input and back, in the loader's own precision; (n,) square roots of the areas of the
        points' boxes, in input pixels; (n,) shares of a face's points outside the input.
    """
    worst, spans, lost = 0.0, [], []
    for i in range(0, len(rows), BLOCK):
        part = rows[i : i + BLOCK]
        if isinstance(crop, BoxCrop):
            matrices = np.stack([box_matrix(faces.boxes[row], crop.margin, size) for row in part])
        else:
            matrices = np.stack([crop_matrix(crop, *sizes[row].tolist(), size) for row in part])
        points = np.asarray(faces.points[part], np.float64)
        moved = transform(matrices, points)
        back = transform(invert(matrices).astype(np.float32), moved.astype(np.float32))
        known = np.isfinite(points).all(2)
        worst = max(
            worst, float(np.where(known, np.hypot(*np.moveaxis(back - points, 2, 0)), 0).max())
        )
        seen = ((moved >= -0.5) & (moved <= size - 0.5)).all(2)
        lost.append((known & ~seen).sum(1) / np.maximum(known.sum(1), 1))
        low, high = (np.where(known[..., None], moved, edge) for edge in (np.inf, -np.inf))
        sides = np.where(known.any(1)[:, None], high.max(1) - low.min(1), 0)
        spans.append(np.sqrt(sides.prod(1)))
    if not spans:
        return worst, np.zeros(0), np.zeros(0)
    return worst, np.concatenate(spans), np.concatenate(lost)


def say_health(health: Health) -> list[str]:
    """Return the lines that say what was found and what the faces are like."""
    counts = count_reasons(health.findings)
    bad = {f.row for f in health.findings if f.level == "error" and f.part == "train"}
    share = 100 * len(bad) / max(1, len(health.rows))
    lines = [
        f"Errors: {len(bad)} of {say_count(len(health.rows), 'training face')} ({share:.2f} %). "
        + _listed({r: n for r, n in counts.items() if r in ERRORS}),
        "Warnings: " + _listed({r: n for r, n in counts.items() if r not in ERRORS}),
        *health.notes,
    ]
    places = health.places
    beyond = int((np.nan_to_num(places.outside) > 0).sum())
    lines.append(
        f"Faces with points outside their image: {beyond}; with negative ones: "
        f"{int((places.negative > 0).sum())}; labelled points: "
        f"{places.labelled.sum() / max(1, len(health.rows)):.1f} a face."
    )
    rows = health.rows[health.looks.state[health.rows] == GOOD]
    if len(rows):
        width, height = health.looks.size[rows].T
        lines.append(
            f"Images (1 %, median, 99 %): width {_spread(width)}, height {_spread(height)} pixels."
        )
    if health.fit is not None:
        scale = health.fit.scale[np.isfinite(health.fit.scale)]
        lines.append(
            f"Faces (1 %, median, 99 %): size {_spread(np.abs(scale))} pixels, roll "
            f"{_spread(np.degrees(np.angle(scale)))} degrees."
        )
    return lines


def say_crop(name: str, size: int, tried: tuple[float, np.ndarray, np.ndarray]) -> str:
    """Return a line on what `health.crop.try_crop` found; `size` is the input's side in pixels."""
    error, spans, lost = tried
    if not len(spans):
        return f"crop={name} was not tried: no image can be read."
    return (
        f"crop={name} at {size} pixels: the way to the input and back is off by {error:.1e} pixels "
        f"at most; {100 * lost.mean():.2f} % of the points are lost, of "
        f"{say_count(int((lost > 0).sum()), 'face')}; "
        f"faces are {_spread(spans)} pixels large (1 %, median, 99 %)."
    )


def _listed(counts: dict[str, int]) -> str:
    found = [f"{reason} {count}" for reason, count in counts.items() if count]
    return ", ".join(found) + "." if found else "none."


def _spread(values: np.ndarray) -> str:
    return ", ".join(f"{v:.0f}" for v in np.percentile(values, PERCENTILES))
