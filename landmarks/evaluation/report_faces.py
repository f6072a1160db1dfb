"""Faces of the report: a photo as JPEG, and the points over it as paths that can be zoomed."""

import base64

import cv2
import numpy as np

from landmarks.data.images.decoding import read_image
from landmarks.evaluation.charts import point_paths
from landmarks.evaluation.write_evaluation import Judgement

SIDE = 320  # pixels of a photo's longer side
AROUND = 0.18  # of the points' box, shown at every side
QUALITY = 82


def show_face(judgement: Judgement, place: int) -> dict | None:
    """Return what the report shows of a face; None where its image cannot be read.

    Args:
        place: among the judged faces.
    """
    faces, errors = judgement.faces, judgement.errors
    image = read_image(faces.path(place), exif=faces.exif)
    if image is None:
        return None
    truth = np.array(faces.points[place], np.float64)
    predicted = np.array(judgement.predicted[judgement.at[place]], np.float64)
    both = np.concatenate([truth, predicted])
    low, high = np.nanmin(both, axis=0), np.nanmax(both, axis=0)
    pad = AROUND * (high - low).max()
    height, width = image.shape[:2]
    left, top = np.clip(np.floor(low - pad), 0, [width - 2, height - 2]).astype(int).tolist()
    right, bottom = (
        np.clip(np.ceil(high + pad) + 1, [left + 2, top + 2], [width, height]).astype(int).tolist()
    )
    cut = image[top:bottom, left:right]
    scale = SIDE / max(cut.shape[:2])
    size = [max(1, round(side * scale)) for side in (cut.shape[1], cut.shape[0])]
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    shown = cv2.resize(cut, size, interpolation=way)
    _, coded = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    scales = np.array(size) / [cut.shape[1], cut.shape[0]]

    def moved(points: np.ndarray) -> str:
        return point_paths((points - [left, top] + 0.5) * scales)

    return {
        "name": faces.name(place),
        "mse": float(errors.squared[place]),
        "nme": float(errors.nme[place]),
        "jpeg": base64.b64encode(coded.tobytes()).decode(),
        "width": size[0],
        "height": size[1],
        "truth": moved(truth),
        "predicted": moved(predicted),
        "stroke": 2.0 if len(truth) > 200 else 4.5,
    }


def choose_faces(squared: np.ndarray, counts: dict[str, int]) -> dict[str, list[int]]:
    """Return the places of the worst, the median and the best faces, as many as `counts` says."""
    order = np.argsort(-np.where(np.isfinite(squared), squared, -np.inf), kind="stable")
    order = order[: int(np.isfinite(squared).sum())].tolist()
    chosen: dict[str, list[int]] = {}
    taken: set[int] = set()
    middle = max(0, len(order) // 2 - counts["median"] // 2)
    ranges = {"worst": order, "best": order[::-1], "median": order[middle:]}
    for kind in ("worst", "best", "median"):
        chosen[kind] = [i for i in ranges[kind] if i not in taken][: counts[kind]]
        taken.update(chosen[kind])
    return {kind: chosen[kind] for kind in ("worst", "median", "best")}
