"""How bright and how sharp the face in an image is, and whether its points lie in it."""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np

from landmarks.data.crops.boxes import have_size, point_boxes
from landmarks.data.faces import Faces
from landmarks.data.images.decoding import read_image
from landmarks.evaluation.face_errors import forget_pages
from landmarks.machine import count_cores

SIDE = 96  # pixels of a face's longer side when its sharpness is measured
FORGOTTEN = 16  # of so many faces, one drops the pages that the labels were read from
MOST = 10_000  # faces whose images are read


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
    some = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST)).astype(int))
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
    scale = SIDE / max(face.shape)
    small = cv2.resize(face, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    sharpness = float(cv2.Laplacian(small, cv2.CV_64F).std())
    return float(face.mean()), sharpness, float(outside.any(1).mean())
