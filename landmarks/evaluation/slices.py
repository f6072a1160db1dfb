"""Where a model fails: errors of faces that have a pose, a brightness or a text in common."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np

from landmarks.data.crops.boxes import have_size, point_boxes
from landmarks.data.faces import Faces
from landmarks.data.images.decoding import read_image
from landmarks.evaluation.bootstrap import mean_interval
from landmarks.evaluation.face_errors import FaceErrors, forget_pages
from landmarks.layout import Layout
from landmarks.machine import count_cores

# Towards the camera from the outer eye corners, in their distance, by a region's name's beginning.
DEPTHS = {
    **{"brow": 0.17, "nose_bridge": 0.31, "nose_base": 0.31, "nose_middle": 0.34, "nose": 0.24},
    **{"eye": 0.08, "pupil": 0.08, "lip": 0.23, "mouth": 0.23, "jaw": -0.3, "forehead": -0.24},
}
MIN_SPOTS = 6
SHARPNESS_SIDE = 96  # pixels of a face's longer side when its sharpness is measured
FORGOTTEN = 16  # of so many faces, one drops the pages that the labels were read from
MAX_LOOKED = 10_000  # faces whose images are read
PARTS = 4  # of faces by size, brightness, ...: as many in each
TURNS = (-90, -30, -15, 15, 30, 90)  # degrees between which faces are taken together
MOST_KINDS = 12  # values of a column that are shown
OTHERS, UNKNOWN = "(others)", "(unknown)"


def estimate_pose(points: np.ndarray, layout: Layout) -> np.ndarray | None:
    """Return yaw, pitch and roll (n, 3) in degrees, NaN where too few points are labelled.

    None if the layout says too little of where its points are.

    Args:
        points: (n, K, 2), NaN where unlabelled.
    """
    spots = _spots(layout)
    if len(spots) < MIN_SPOTS:
        return None
    model = np.array([place for _, place in spots])
    found = np.stack([_middle(points[:, first : last + 1]) for (first, last), _ in spots], axis=1)
    angles = np.full((len(points), 3), np.nan)
    known = np.isfinite(found).all(2)
    for pattern in np.unique(known, axis=0):
        if pattern.sum() < MIN_SPOTS:
            continue
        rows = np.flatnonzero((known == pattern).all(1))
        angles[rows] = _fit(found[rows][:, pattern], model[pattern])
    return angles


def _spots(layout: Layout) -> list[tuple[list[int], list[float]]]:
    """Return the points of each spot and its place in 3-D."""
    spots = []
    for name, (points, (x, y)) in layout.spots().items():
        depth = next((z for start, z in DEPTHS.items() if name.startswith(start)), None)
        if name.startswith("eye at point"):
            depth = 0.0
        if depth is not None:
            spots.append((points, [x, y, depth]))
    return spots


def _middle(points: np.ndarray) -> np.ndarray:
    middle = points.mean(1)
    if np.isfinite(middle).all():
        return middle
    known = np.isfinite(points).all(2)
    count = known.sum(1)
    middle = np.where(known[..., None], points, 0).sum(1) / np.maximum(count, 1)[:, None]
    return np.where((2 * count >= points.shape[1])[:, None], middle, np.nan)


def _fit(found: np.ndarray, model: np.ndarray) -> np.ndarray:
    """Return angles (n, 3) of places (n, k, 2) that picture model (k, 3)."""
    centred = model - model.mean(0)
    linear = np.einsum("nkc,dk->ncd", found - found.mean(1, keepdims=True), np.linalg.pinv(centred))
    left, _, right = np.linalg.svd(linear, full_matrices=False)
    across, down = np.moveaxis(left @ right, 1, 0)  # the first two rows of the nearest rotation
    near = np.cross(across, down)
    yaw = np.arctan2(-near[:, 0], near[:, 2])
    pitch = np.arcsin(np.clip(-near[:, 1], -1, 1))
    roll = np.arctan2(-across[:, 1], down[:, 1])
    return np.degrees(np.stack([yaw, pitch, roll], axis=1))


class Looks(NamedTuple):
    """Of N faces, NaN where unknown: brightness is the mean grey level, 0 to 255, in the box of the
    points; sharpness the standard deviation of the Laplacian there, the face scaled to one size;
    outside the share of labelled points that lie outside the image."""

    brightness: np.ndarray
    sharpness: np.ndarray
    outside: np.ndarray


def measure_looks(faces: Faces, rows: np.ndarray) -> Looks:
    """Look at the images of faces `rows` (N,); of more than 10,000 at so many, evenly spaced.

    Args:
        faces: with points.
    """
    some = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MAX_LOOKED)).astype(int))
    looks = Looks(*np.full((3, len(rows)), np.nan))
    with ThreadPoolExecutor(count_cores()) as pool:
        found = pool.map(lambda i: _look(faces, int(rows[i])), some)
        for seen, (i, values) in enumerate(zip(some.tolist(), found, strict=True)):
            for column, value in zip(looks, values, strict=True):
                column[i] = value
            if seen % FORGOTTEN == 0:
                forget_pages(faces.points)
    return looks


def _look(faces: Faces, row: int) -> tuple[float, float, float]:
    points = np.asarray(faces.points[row], np.float64)
    points = points[np.isfinite(points).all(1)]
    unknown = np.nan, np.nan, np.nan
    if not len(points):
        return unknown
    image = read_image(faces.path(row), cv2.IMREAD_GRAYSCALE, faces.exif)
    if image is None:
        return unknown
    height, width = image.shape
    outside = (points < -0.5) | (points > np.array([width, height]) - 0.5)
    box = point_boxes(points[None].astype(np.float32))
    left, top, right, bottom = np.clip(np.rint(box[0]), 0, [width, height] * 2).astype(int).tolist()
    face = image[top : bottom + 1, left : right + 1]
    if not have_size(box).all() or min(face.shape) < 2:
        return np.nan, np.nan, float(outside.any(1).mean())
    scale = SHARPNESS_SIDE / max(face.shape)
    small = cv2.resize(face, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    sharpness = float(cv2.Laplacian(small, cv2.CV_64F).std())
    return float(face.mean()), sharpness, float(outside.any(1).mean())


def cut_evenly(values: np.ndarray, unit: str = "") -> np.ndarray:
    """Return a text (N,) for each face: which quarter of the faces its value lies in."""
    known = np.isfinite(values)
    edges = (
        np.unique(np.quantile(values[known], np.linspace(0, 1, PARTS + 1))) if known.any() else []
    )
    if len(edges) < 2:
        return np.where(known, "all", UNKNOWN)
    return _name_parts(values, np.asarray(edges), unit)


def cut_turns(degrees: np.ndarray) -> np.ndarray:
    """Return a text (N,) for each face: how far it is turned."""
    return _name_parts(np.clip(degrees, TURNS[0], TURNS[-1]), np.array(TURNS, float), "°")


def cut_share_outside(share: np.ndarray) -> np.ndarray:
    """Return a text (N,) for each face: does it reach over the image's edge?"""
    texts = np.select([share == 0, share <= 0.05], ["none", "up to 5 %"], "more than 5 %")
    return np.where(np.isfinite(share), texts, UNKNOWN)


def name_kinds(texts: list[str]) -> np.ndarray:
    """Return a column's texts (N,) as slices: numbers of many values are cut, rare texts joined."""
    numbers = np.array([_number(text) for text in texts])
    empty = np.array([not text for text in texts])
    if len(set(texts)) > MOST_KINDS and np.isfinite(numbers[~empty]).all():
        return cut_evenly(numbers)
    kinds, counts = np.unique(texts, return_counts=True)
    shown = kinds[np.argsort(-counts, kind="stable")][:MOST_KINDS]
    kept = np.array(texts, object)
    kept[~np.isin(texts, shown)] = OTHERS
    kept[empty] = UNKNOWN
    return kept.astype(str)


def measure_slice(name: str, labels: np.ndarray, errors: FaceErrors, groups: np.ndarray) -> dict:
    """Return a slice as plain data: for each label, in order, its faces' errors.

    Args:
        labels: (N,) texts.
        groups: (N,), see `landmarks.evaluation.bootstrap`.
    """
    return {"name": name, "parts": list(_parts(labels, errors, groups))}


def _parts(labels: np.ndarray, errors: FaceErrors, groups: np.ndarray) -> Iterator[dict]:
    kinds = np.unique(labels)
    for label in sorted(kinds.tolist(), key=_order):
        inside = (labels == label) & errors.judged
        if not inside.any():
            continue
        interval = mean_interval(errors.squared[inside], groups[inside])
        nme = errors.nme[inside]
        yield {
            "label": label.partition("\t")[2] or label,
            "faces": int(inside.sum()),
            "mse": interval.mean,
            "mse_low": interval.low,
            "mse_high": interval.high,
            "nme": float(np.nanmean(nme)) if np.isfinite(nme).any() else None,
        }


def _name_parts(values: np.ndarray, edges: np.ndarray, unit: str) -> np.ndarray:
    part = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    digits = 0 if np.ptp(edges) >= 20 else 2
    # The number before the TAB keeps them in order.
    names = [
        f"{i}\t{low:.{digits}f} to {high:.{digits}f}{unit}"
        for i, (low, high) in enumerate(pairwise(edges))
    ]
    return np.where(np.isfinite(values), np.array(names)[part], UNKNOWN)


def _order(label: str) -> tuple:
    number, tab, _ = label.partition("\t")
    last = label in (OTHERS, UNKNOWN)
    return last, (int(number) if tab else 0), label


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan
