"""The passes over the images: one to look and to learn, one to judge."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from landmarks.data.faces import Faces
from landmarks.health.face_cuts import CUT_SIDE, SIZE, Cutter, describe_own
from landmarks.health.image_facts import GOOD, Looks, Reader, in_threads
from landmarks.health.point_noise import MAX_POINTS, Beside, NoiseFinder
from landmarks.health.shape_model import ShapeModel
from landmarks.health.shifted_labels import ShiftFinder, Shifts
from landmarks.shapes.aligning import to_complex

LEARNING_FACES = 2000  # faces that the finders learn from
MIN_LEARNING_FACES = 150  # fewer teach them too little


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
