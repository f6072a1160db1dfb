"""What an evaluation comes to: metrics.json, the tables and a picture of the worst faces."""

import json
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from landmarks.data.faces import Faces
from landmarks.data.images.decoding import read_image
from landmarks.evaluation.calibration import judge_confidence
from landmarks.evaluation.error_tables import (
    face_rows,
    point_table,
    region_table,
    save_errors,
    write_table,
)
from landmarks.evaluation.face_errors import FaceErrors, forget_pages, measure_visibility
from landmarks.evaluation.metrics_json import (
    SCHEMA,
    fingerprints_of,
    foretell_score,
    plain,
    say_versions,
    summarise,
)
from landmarks.evaluation.slices import (
    MAX_LOOKED,
    cut_evenly,
    cut_share_outside,
    cut_turns,
    estimate_pose,
    measure_looks,
    measure_slice,
    name_kinds,
)
from landmarks.files import replacing
from landmarks.layout import Layout
from landmarks.outputs.pictures import arrange, draw_face, drawing, save_picture

ANGLES = ("yaw", "pitch", "roll")
BLOCK = 4096  # faces whose pose is estimated at once


@dataclass(frozen=True, eq=False)
class Judgement:
    """N judged faces, their predictions and their errors.

    Args:
        faces: N, with labels.
        errors: of them.
        predicted: (M, K, 2), `at` (N,) says where each face stands in it.
        layout: of the points.
        groups: (N,) int, faces that are not independent have one number; grouping says so.
        columns: texts (N,) by name, of which slices are made.
        origin: plain data for metrics.json: of the data, the model, the baselines.
        mean_shape: NME (N,) of the mean shape, as if it were predicted for each face.
    """

    faces: Faces
    errors: FaceErrors
    predicted: np.ndarray
    at: np.ndarray
    layout: Layout
    groups: np.ndarray
    grouping: str
    columns: dict[str, list[str]] = field(default_factory=dict)
    origin: dict = field(default_factory=dict)
    mean_shape: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Outcome:
    """A judgement's figures: `metrics` as in metrics.json, the rows of the tables, and further
    columns (N,) of the table of faces."""

    metrics: dict
    of_faces: dict[str, np.ndarray]
    by_point: list[dict]
    by_region: list[dict]


def conclude(judgement: Judgement, thresholds: list[float], seed: int = 0) -> Outcome:
    """Return what a judgement comes to.

    Args:
        thresholds: of failure rates and areas under the cumulative curve.
        seed: of the bootstrap and of drawn points.
    """
    errors, layout, groups = judgement.errors, judgement.layout, judgement.groups
    sliced, facts = _slices(judgement)
    by_region = region_table(errors, layout)
    metrics = {
        "schema": SCHEMA,
        **summarise(errors, groups, layout, thresholds, seed),
        "leaderboard": {
            **foretell_score(errors, groups, seed),
            "rounded": True,
            "grouping": judgement.grouping,
        },
        "regions": by_region,
        "visibility": measure_visibility(errors, judgement.faces.visible),
        "slices": sliced,
        **judgement.origin,
        "versions": say_versions(),
    }
    if errors.confidence is not None:
        metrics["calibration"] = judge_confidence(errors.distance, errors.confidence)
    metrics["data"]["fingerprint"] = fingerprints_of(judgement.faces)[0]
    return Outcome(plain(metrics), facts, point_table(errors, layout), by_region)


def _slices(judgement: Judgement) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Return slices as plain data, and what they are made of: columns (N,) of the faces' table."""
    errors, faces = judgement.errors, judgement.faces
    looks = measure_looks(faces, np.arange(len(faces)))
    facts = {"brightness": looks.brightness, "sharpness": looks.sharpness, "outside": looks.outside}
    names = {"face size": cut_evenly(errors.size, " px")}
    pose = _estimate_poses(judgement)
    if pose is not None:
        for name, degrees in zip(ANGLES, pose.T, strict=True):
            facts[name], names[name] = degrees, cut_turns(degrees)
    names["brightness"] = cut_evenly(looks.brightness)
    names["sharpness"] = cut_evenly(looks.sharpness)
    names["points outside the image"] = cut_share_outside(looks.outside)
    names |= {name: name_kinds(texts) for name, texts in judgement.columns.items()}
    sliced = [
        measure_slice(name, labels, errors, judgement.groups) for name, labels in names.items()
    ]
    if len(faces) > MAX_LOOKED:
        for each in sliced:
            if each["name"] in ("brightness", "sharpness", "points outside the image"):
                each["looked_at"] = MAX_LOOKED
    return sliced, facts


def _estimate_poses(judgement: Judgement) -> np.ndarray | None:
    points, layout, found = judgement.faces.points, judgement.layout, []
    for start in range(0, len(points), BLOCK):
        pose = estimate_pose(np.asarray(points[start : start + BLOCK], np.float64), layout)
        forget_pages(points)
        if pose is None:
            return None
        found.append(pose)
    return np.concatenate(found)


def write_outcome(out: Path, judgement: Judgement, outcome: Outcome) -> None:
    """Write metrics.json, per_face.csv, per_point.csv, per_region.csv and errors.npz."""
    fingerprints = fingerprints_of(judgement.faces)
    save_errors(out / "errors.npz", judgement.errors, judgement.groups, fingerprints)
    for name, rows in (
        ("per_face", face_rows(judgement.errors, outcome.of_faces)),
        ("per_point", outcome.by_point),
        ("per_region", outcome.by_region),
    ):
        write_table(out / f"{name}.csv", rows)
    with replacing(out / "metrics.json") as part:
        part.write_text(json.dumps(outcome.metrics, indent=2) + "\n", encoding="utf-8")


def draw_worst(out: Path, judgement: Judgement, count: int) -> None:
    """Write worst.png: the faces of the largest errors, true points green, predicted ones red."""
    with drawing(out):
        tiles = [
            tile
            for row in islice(face_rows(judgement.errors), count)
            if (tile := draw_judged(judgement, row["row"])) is not None
        ]
        if tiles:
            save_picture(out / "worst.png", arrange(tiles))


def draw_judged(judgement: Judgement, row: int) -> np.ndarray | None:
    """Return a picture (TILE, TILE, 3) of a face with its points; None where there is no image.

    Args:
        row: of the data set, as in per_face.csv.
    """
    place = int(np.flatnonzero(judgement.errors.rows == row)[0])
    faces = judgement.faces
    image = read_image(faces.path(place), exif=faces.exif)
    if image is None:
        return None
    predicted = np.array(judgement.predicted[judgement.at[place]])
    return draw_face(image, np.array(faces.points[place]), predicted)
