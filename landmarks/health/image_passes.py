"""The passes over the images: one to look and to learn, one to judge."""

from collections.abc import Callable, Iterator

import numpy as np
from tqdm import tqdm

from landmarks.data.faces import Faces
from landmarks.health.image_facts import GOOD, Looks, Reader, in_threads
from landmarks.health.shape_model import Fit
from landmarks.health.shifts import CUT_SIDE, SIZE, ShiftFinder

LEARNING_FACES = 2000  # faces that the shift finder learns from
MIN_LEARNING_FACES = 150  # fewer teach it too little


def scan(faces: Faces, rows: np.ndarray, fit: Fit | None, threads: int) -> tuple:
    """Return the looks of all N files (those of `rows` seen), and what `find_shifts` found.

    Args:
        faces: N, of which `rows` (n,) are looked at.
        fit: of the n faces to the shape model; None: shifts are not looked for.
        threads: that read and decode.

    Returns:
        `Looks`; (n, 3) displacements and (n,) gains, see `ShiftFinder.judge`, NaN where unknown; or
        None where there are too few faces to learn from.
    """
    looks = Looks.empty(len(faces))
    reader = Reader(faces, looks, np.full(len(faces), np.nan))
    if fit is None:
        for _ in _pass(reader, rows, threads, "reading images", None):
            pass
        return looks, None
    scale, shift = np.full((2, len(faces)), np.nan, complex)
    scale[rows], shift[rows] = fit.scale, fit.shift
    fitting = rows[np.isfinite(fit.scale)]
    reader.spare = np.abs(scale) * CUT_SIDE / SIZE  # what a cut would average anyway
    count = min(len(fitting), LEARNING_FACES)
    taught = fitting[np.linspace(0, len(fitting) - 1, count).astype(int)]
    finder = ShiftFinder(len(faces))
    is_taught = np.isin(np.arange(len(faces)), taught)
    enough = len(taught) >= MIN_LEARNING_FACES

    def placed(function: Callable, chosen: np.ndarray) -> Callable:
        def do(part: np.ndarray, images: list) -> tuple:
            ok = [i for i, row in enumerate(part) if images[i] is not None and chosen[row]]
            kept = part[ok]
            return kept, function(kept, [images[i] for i in ok], scale[kept], shift[kept])

        return do

    learn = placed(finder.look, is_taught) if enough else None
    for outcome in _pass(reader, rows, threads, "reading images", learn):
        if outcome is not None and len(outcome[0]):
            finder.learn(*outcome[1])
    if finder.learned < MIN_LEARNING_FACES:
        return looks, None
    finder.solve()
    offsets, gains = np.full((len(faces), 3), np.nan), np.full(len(faces), np.nan)
    usable = fitting[looks.state[fitting] == GOOD]
    judge = placed(finder.judge, np.ones(len(faces), bool))
    for kept, (found, gain) in _pass(reader, usable, threads, "looking for shifts", judge):
        offsets[kept], gains[kept] = found, gain
    return looks, (offsets[rows], gains[rows])


def _pass(
    reader: Reader, rows: np.ndarray, threads: int, what: str, function: Callable | None
) -> Iterator:
    def work(part: np.ndarray) -> tuple:
        images = [reader.read(row) for row in part.tolist()]
        return len(part), None if function is None else function(part, images)

    with tqdm(total=len(rows), desc=what, unit="image", disable=None) as bar:
        for count, outcome in in_threads(work, rows, threads):
            bar.update(count)
            yield outcome
