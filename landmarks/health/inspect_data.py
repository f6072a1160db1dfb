"""One data set, looked at from all sides."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from landmarks.data.faces import Faces
from landmarks.errors import say_count
from landmarks.health.duplicates import same_labels
from landmarks.health.face_cuts import CUT_SIDE, SIZE, Cutter, describe_own
from landmarks.health.image_facts import GOOD, Looks, Reader, in_threads
from landmarks.health.image_limits import duplicate_findings, image_findings, place_findings
from landmarks.health.label_facts import BLOCK, Places, find_places, is_degenerate
from landmarks.health.label_orientation import advise, find_frames
from landmarks.health.point_noise import (
    MAX_POINTS,
    Beside,
    NoiseFinder,
    find_contours,
    turning_angles,
)
from landmarks.health.robust_statistics import median
from landmarks.health.shape_limits import MAX_OUT, MAX_PULL, noisy_limit, rest_limit, shape_findings
from landmarks.health.shape_model import Fit, ShapeModel, fit_model
from landmarks.health.shifted_labels import ShiftFinder, Shifts
from landmarks.health.suspects import Finding
from landmarks.shapes.aligning import to_complex

LEARNING_FACES = 2000  # faces that the finders learn from
MIN_LEARNING_FACES = 150  # fewer teach them too little
MIN_FACES = 30  # faces that a shape model needs
MAX_DISTANCE = 0.25  # face sizes: points farther than that from a common shape have none


class Seen(NamedTuple):
    """What the images say.

    looks: of all N files, those of n rows seen; shifts: of the n faces; None: there are too few to
    learn from, as there are for `beside`, which only few points have.
    """

    looks: Looks
    shifts: Shifts | None = None
    beside: Beside | None = None


def scan(
    faces: Faces,
    rows: np.ndarray,
    threads: int,
    model: ShapeModel | None = None,
    scale: np.ndarray | None = None,
) -> Seen:
    """Look at the images, learn from faces displaced on purpose, and judge all by that.

    Args:
        faces: N, of which `rows` (n,) are looked at.
        threads: that read and decode.
        model: of the n faces' shapes; None: the images are only looked at.
        scale: (n,) of the faces' fits to it.
    """
    looks = Looks.empty(len(faces))
    reader = Reader(faces, looks, np.full(len(faces), np.nan))
    if model is None:
        for _ in _pass(reader, rows, threads, "reading images", None):
            pass
        return Seen(looks)
    fitting = rows[np.isfinite(scale)]
    reader.spare[rows] = np.abs(scale) * CUT_SIDE / SIZE  # what a cut would average anyway
    count = min(len(fitting), LEARNING_FACES)
    taught = fitting[np.linspace(0, len(fitting) - 1, count).astype(int)]
    finders = _Finders(faces, model, taught)
    learn = finders.look if len(taught) >= MIN_LEARNING_FACES else None
    for outcome in _pass(reader, rows, threads, "reading images", learn):
        if outcome is not None:
            finders.learn(*outcome)
    if finders.shifts.learned < MIN_LEARNING_FACES:
        return Seen(looks)
    finders.solve()
    shifts = Shifts(*(np.full((len(faces), *shape), np.nan) for shape in ((2,), (2,), ())))
    beside = Beside.unknown(len(faces), len(model.chosen)) if finders.noise else None
    good = fitting[looks.state[fitting] == GOOD]
    for kept, *said in _pass(reader, good, threads, "looking for shifts", finders.judge):
        for all_values, some in zip((shifts, beside), said, strict=True):
            for values, new in zip(all_values or (), some or (), strict=True):
                values[kept] = new
    beside = Beside(*(values[rows] for values in beside)) if beside else None
    return Seen(looks, Shifts(*(values[rows] for values in shifts)), beside)


class _Finders:
    """What learns from faces displaced on purpose, and then judges: shifts and, of few points, each
    point's place.

    Args:
        faces: N.
        model: of their shapes.
        taught: (m,) rows that they learn from.
    """

    def __init__(self, faces: Faces, model: ShapeModel, taught: np.ndarray):
        self.faces, self.cutter = faces, Cutter(model)
        self.is_taught = np.isin(np.arange(len(faces)), taught)
        self.shifts = ShiftFinder(len(faces))
        is_few = len(model.chosen) <= MAX_POINTS
        self.noise = NoiseFinder(len(faces), self.cutter) if is_few else None

    def look(self, rows: np.ndarray, images: list) -> tuple:
        """Return what `learn` takes, of images (n,) of faces; None: one that cannot be read."""
        rows, images, shapes = self._usable(rows, images, self.is_taught[rows])
        shifted = self.shifts.look(rows, self.cutter.place(images, shapes))
        return shifted, self.noise.look(rows, images, shapes) if self.noise else None

    def learn(self, shifted: tuple, noisy: tuple | None) -> None:
        """Take in what `look` returned."""
        self.shifts.learn(*shifted)
        if noisy is not None:
            self.noise.learn(*noisy)

    def solve(self) -> None:
        """End the learning."""
        self.shifts.solve()
        if self.noise:
            self.noise.solve()

    def judge(self, rows: np.ndarray, images: list) -> tuple[np.ndarray, Shifts, Beside | None]:
        """Return the usable rows (n,), their shifts, and of few points how they lie."""
        rows, images, shapes = self._usable(rows, images, np.ones(len(rows), bool))
        features = describe_own(self.cutter.place(images, shapes))
        beside = self.noise.judge(rows, features, shapes) if self.noise else None
        return rows, self.shifts.judge(rows, features), beside

    def _usable(self, rows: np.ndarray, images: list, wanted: np.ndarray) -> tuple:
        kept = [i for i, image in enumerate(images) if image is not None and wanted[i]]
        points = np.asarray(self.faces.points[rows[kept]])[:, self.cutter.model.chosen]
        return rows[kept], [images[i] for i in kept], to_complex(points)


def _pass(
    reader: Reader, rows: np.ndarray, threads: int, what: str, function: Callable | None
) -> Iterator:
    def work(part: np.ndarray) -> tuple:
        reader.faces.bring(part)
        images = [reader.read(row) for row in part.tolist()]
        return len(part), None if function is None else function(part, images)

    with tqdm(total=len(rows), desc=what, unit="image", disable=None) as bar:
        for count, outcome in in_threads(work, rows, threads):
            bar.update(count)
            yield outcome


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
