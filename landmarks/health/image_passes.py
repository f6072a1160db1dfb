"""The passes over the images: one to look and to learn, one to judge."""

from collections.abc import Callable, Iterator

import numpy as np
from tqdm import tqdm

from landmarks.data.faces import Faces
from landmarks.health.cuts import CUT_SIDE, SIZE, Bender, FaceToCut
from landmarks.health.image_facts import GOOD, Looks, Reader, in_threads
from landmarks.health.shape_model import ShapeModel
from landmarks.health.shifts import ShiftFinder, Shifts
from landmarks.shapes.aligning import to_complex

LEARNING_FACES = 2000  # faces that the shift finder learns from
MIN_LEARNING_FACES = 150  # fewer teach it too little


def scan(
    faces: Faces,
    rows: np.ndarray,
    threads: int,
    model: ShapeModel | None = None,
    scale: np.ndarray | None = None,
) -> tuple:
    """Return the looks of all N files (those of `rows` seen), and what `find_shifts` found.

    Args:
        faces: N, of which `rows` (n,) are looked at.
        threads: that read and decode.
        model: of the n faces' shapes; None: shifts are not looked for.
        scale: (n,) of the faces' fits to it.

    Returns:
        `Looks`; the `Shifts` of the n faces, or None where there are too few to learn from.
    """
    looks = Looks.empty(len(faces))
    reader = Reader(faces, looks, np.full(len(faces), np.nan))
    if model is None:
        for _ in _pass(reader, rows, threads, "reading images", None):
            pass
        return looks, None
    fitting = rows[np.isfinite(scale)]
    reader.spare[rows] = np.abs(scale) * CUT_SIDE / SIZE  # what a cut would average anyway
    count = min(len(fitting), LEARNING_FACES)
    taught = fitting[np.linspace(0, len(fitting) - 1, count).astype(int)]
    finder, bender = ShiftFinder(len(faces)), Bender(model.mean)
    is_taught = np.isin(np.arange(len(faces)), taught)
    enough = len(taught) >= MIN_LEARNING_FACES

    def placed(function: Callable, chosen: np.ndarray) -> Callable:
        def do(part: np.ndarray, images: list) -> tuple:
            ok = [i for i, row in enumerate(part) if images[i] is not None and chosen[row]]
            kept = part[ok]
            shapes = to_complex(np.asarray(faces.points[kept])[:, model.chosen])
            scales, shifts, offsets, _ = model.place(shapes)
            bent = bender.bend((offsets + model.centre).view(np.complex64))
            placed = (images[i] for i in ok), scales, shifts, bent
            cut = [FaceToCut(*image, *place) for image, *place in zip(*placed, strict=True)]
            return function(kept, cut)

        return do

    learn = placed(finder.look, is_taught) if enough else None
    for outcome in _pass(reader, rows, threads, "reading images", learn):
        if outcome is not None:
            finder.learn(*outcome)
    if finder.learned < MIN_LEARNING_FACES:
        return looks, None
    finder.solve()
    shifts = Shifts(*(np.full((len(faces), *shape), np.nan) for shape in ((2,), (2,), ())))
    usable = fitting[looks.state[fitting] == GOOD]
    judge = placed(finder.judge, np.ones(len(faces), bool))
    for kept, found in _pass(reader, usable, threads, "looking for shifts", judge):
        for values, some in zip(shifts, found, strict=True):
            values[kept] = some
    return looks, Shifts(*(values[rows] for values in shifts))


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
