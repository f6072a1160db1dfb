"""Is one model better than another by more than chance: the paired bootstrap on the same faces."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from landmarks.errors import UserError
from landmarks.evaluation.bootstrap import Interval, difference_interval
from landmarks.files import NUMPY_DAMAGE


class Stored(NamedTuple):
    """What an evaluation has left in a folder: of N faces names, groups, errors; its figures.

    names (N,) texts; groups, squared, nme (N,), see `FaceErrors`; fingerprints of the labels, see
    `landmarks.evaluation.metrics_json.fingerprints_of`; figures as in metrics.json.
    """

    folder: Path
    names: np.ndarray
    groups: np.ndarray
    squared: np.ndarray
    nme: np.ndarray
    fingerprints: tuple[str, ...]
    figures: dict


def read_stored(folder: Path) -> Stored:
    """Return what an evaluation has left in a folder.

    Raises:
        UserError: if there is none, or it is damaged.
    """
    path = folder / "errors.npz"
    if not path.is_file():
        raise UserError(
            f"{folder} holds no evaluation (errors.npz): run `landmarks evaluate` on it first."
        )
    try:
        with np.load(path) as stored:
            arrays = [stored[name] for name in ("names", "groups", "squared", "nme")]
            fingerprints = _read_fingerprints(stored)
        figures = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        figures["mse"], figures["data"]["source"]
    except NUMPY_DAMAGE as error:
        raise UserError(f"{path} or metrics.json beside it is damaged: evaluate anew.") from error
    return Stored(folder, *arrays, fingerprints, figures)


def _read_fingerprints(stored: np.lib.npyio.NpzFile) -> tuple[str, ...]:
    return tuple(np.atleast_1d(stored["fingerprint"]).tolist())  # older files hold one text


def _are_same(first: tuple[str, ...], second: tuple[str, ...]) -> bool:
    """Say whether labels are the same: by the names of points where both have them."""
    at = min(len(first), len(second)) - 1
    return first[at] == second[at]


def require_same_faces(first: Stored, second: Stored) -> None:
    """Refuse to compare what was judged on other faces, or on other labels of them.

    Raises:
        UserError: naming how many faces they share.
    """
    if _are_same(first.fingerprints, second.fingerprints):
        return
    shared = len(np.intersect1d(first.names, second.names))
    counts = f"{len(first.names)} and {len(second.names)}"
    if shared == len(first.names) == len(second.names):
        raise UserError(
            f"{first.folder} and {second.folder} were judged on the same {shared} faces with other "
            f"labels, or in another order of points: evaluate both anew on one data set."
        )
    raise UserError(
        f"{first.folder} and {second.folder} were judged on different faces ({counts}, {shared} of "
        f"them in both): evaluate both on the same, such as data.root=FOLDER split=all."
    )


def compare_errors(first: Stored, second: Stored, seed: int = 0) -> Interval:
    """Return by how much the first one's MSE is above the second's, with its interval.

    Faces are paired, and groups of the first are drawn, see `landmarks.evaluation.bootstrap`.

    Raises:
        UserError: see `require_same_faces`.
    """
    require_same_faces(first, second)
    return difference_interval(first.squared, second.squared, first.groups, seed)


def say_difference(first: str, second: str, found: Interval) -> str:
    """Return in words which of two models is better, and whether it is more than chance."""
    size = f"{abs(found.mean):.2f} px²"
    if not np.isfinite(found.low):
        return f"{first} and {second} differ by {size}; one group says nothing of chance."
    if not found.excludes_zero:
        between = f"95 %: {found.low:+.2f} to {found.high:+.2f}"
        return f"{first} and {second} differ by {size} ({between}): that may be chance."
    low, high = sorted([abs(found.low), abs(found.high)])
    between = f"95 %: {low:.2f} to {high:.2f}"
    better, worse = (second, first) if found.mean > 0 else (first, second)
    return f"{better} is better than {worse} by {size} ({between}): that is more than chance."


def find_previous(
    folder: Path, fingerprints: tuple[str, ...], places: list[Path], model: str | None = None
) -> Stored | None:
    """Return the newest evaluation of the same labels by another model, if there is one.

    Args:
        folder: that is passed over.
        fingerprints: of the labels, see `Stored`.
        places: folders that may hold evaluations, in any order.
        model: the hash of the checkpoint that is passed over; None: there is none.
    """
    files = [place / "errors.npz" for place in places if place.resolve() != folder.resolve()]
    files = sorted((f for f in files if f.is_file()), key=lambda f: -f.stat().st_mtime_ns)
    for file in files:
        try:
            with np.load(file) as stored:
                if not _are_same(_read_fingerprints(stored), fingerprints):
                    continue
            found = read_stored(file.parent)
            if model is None or (found.figures.get("checkpoint") or {}).get("sha256") != model:
                return found
        except (UserError, *NUMPY_DAMAGE):
            continue
    return None
