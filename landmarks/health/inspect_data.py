"""One data set, looked at from all sides."""

from dataclasses import dataclass, field

import numpy as np

from landmarks.data.faces import Faces
from landmarks.errors import say_count
from landmarks.health.duplicates import same_labels
from landmarks.health.image_facts import Looks
from landmarks.health.image_limits import duplicate_findings, image_findings, place_findings
from landmarks.health.image_passes import MIN_LEARNING_FACES, scan
from landmarks.health.jittered_contours import find_contours, turning_angles
from landmarks.health.label_facts import BLOCK, Places, find_places, is_degenerate
from landmarks.health.label_orientation import advise, find_frames
from landmarks.health.robust_statistics import median
from landmarks.health.shape_fit import fit_model
from landmarks.health.shape_limits import MAX_OUT, MAX_PULL, noisy_limit, rest_limit, shape_findings
from landmarks.health.shape_model import Fit, ShapeModel
from landmarks.health.suspects import Finding

MIN_FACES = 30  # faces that a shape model needs
MAX_DISTANCE = 0.25  # face sizes: points farther than that from a common shape have none


@dataclass
class Health:
    """What was measured of n faces `rows`, and what was found.

    notes say what could not be done, advice what to set.
    """

    rows: np.ndarray
    looks: Looks
    places: Places
    fit: Fit | None = None
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)


def inspect(
    faces: Faces,
    rows: np.ndarray,
    test: Faces | None,
    regions: dict,
    threads: int,
    eyes: list | None = None,
) -> Health:
    """Look at the training faces `rows` (n,) and, for its images alone, at the test part.

    Args:
        faces, test: the parts, whether their images can be read or not.
        regions: of the layout, name -> [first, last]; empty: none.
        threads: that read images.
        eyes: the layout's two points; None: it names none.
    """
    notes: list[str] = []
    model = _model(faces, rows, notes)
    fit = None if model is None else _fit(model, faces.points, rows)
    scale = None if fit is None else fit.scale
    looks, shifts, beside = scan(faces, rows, threads, model, scale)
    health = Health(rows, looks, find_places(faces.points, rows, looks.size), fit, notes=notes)
    health.findings += image_findings(faces, rows, looks, "train")
    health.findings += place_findings(faces, rows, health.places)
    frames = find_frames(faces, rows, looks, scale, eyes)
    health.advice += advise(faces, rows, looks, frames)
    if fit is not None:
        angles = _angles(faces.points, rows, regions)
        health.findings += shape_findings(faces, rows, fit, angles, shifts, beside)
        notes += _say_judged(model, fit, health.places, beside is not None)
        if shifts is None:
            notes.append(
                f"Shifted labels were not looked for: that needs {MIN_LEARNING_FACES} faces."
            )
    same, telling = same_labels(faces.points, rows)
    if telling > faces.num_points:
        notes.append(
            f"Equal labels were not looked for: with only {say_count(faces.num_points, 'point')}, "
            "some of "
            f"{say_count(len(rows), 'face')} have equal labels by chance."
        )
    test_looks = None
    if test is not None:
        every = np.arange(len(test))
        test_looks = scan(test, every, threads).looks
        health.findings += image_findings(test, every, test_looks, "test")
    health.findings += duplicate_findings(faces, rows, looks, same, test, test_looks)
    return health


def _model(faces: Faces, rows: np.ndarray, notes: list[str]) -> ShapeModel | None:
    places = find_places(faces.points, rows, np.zeros((len(faces), 2)))
    usable = rows[(places.labelled >= 3) & ~is_degenerate(places)]
    skipped = "swapped, jittered, misplaced and shifted labels were not looked for"
    if len(usable) < MIN_FACES:
        notes.append(
            f"Of {say_count(len(usable), 'labelled face')}, {skipped}: that needs {MIN_FACES}."
        )
        return None
    model = fit_model(faces.points, usable)
    if model is None:
        notes.append(f"The faces have no common shape: {skipped}.")
        return None
    sample = usable[np.linspace(0, len(usable) - 1, min(len(usable), 256)).astype(int)]
    typical = median(model.distance(np.asarray(faces.points[sample])))
    if not typical < MAX_DISTANCE:
        notes.append(
            f"The points lie {typical:.2f} face sizes from their mean shape: not one face's points "
            f"in one order; {skipped}."
        )
        return None
    return model


def _fit(model: ShapeModel, points: np.ndarray, rows: np.ndarray) -> Fit:
    blocks = (rows[i : i + BLOCK] for i in range(0, len(rows), BLOCK))
    parts = [model.fit(np.asarray(points[block])) for block in blocks]
    return Fit(*map(np.concatenate, zip(*parts, strict=True)))


def _say_judged(model: ShapeModel, fit: Fit, places: Places, by_picture: bool) -> list[str]:
    """Say how wrong labels must be to be found, which few points make much, and what was left.

    Args:
        by_picture: noise in all points is looked for in the pictures.
    """
    single, noise = model.noticed(MAX_OUT, MAX_PULL, rest_limit(fit), noisy_limit(fit))
    least, most = single.min(), single.max()
    said = [
        f"One wrong point is found in half of the faces where it lies {median(single):.0%} of the "
        f"face's size off ({least:.0%} to {most:.0%}, by point).",
        "Noise in all points is looked for in the pictures."
        if by_picture
        else f"Noise in all points is found in half where it is {noise:.1%} of the face's size.",
    ]
    few = int((np.isnan(fit.rest) & (places.labelled > 0)).sum())
    if few:
        said.append(
            f"Not judged by shape: {say_count(few, 'face')} with fewer than a third of the points."
        )
    return said


def _angles(points: np.ndarray, rows: np.ndarray, regions: dict) -> np.ndarray:
    contours = find_contours(regions, np.asarray(points[rows[:BLOCK]]))
    blocks = (rows[i : i + BLOCK] for i in range(0, len(rows), BLOCK))
    return np.concatenate([turning_angles(np.asarray(points[b]), contours) for b in blocks])
