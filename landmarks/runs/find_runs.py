"""Run folders: finds checkpoints, marks ends, removes leftovers. Imports no torch."""

import contextlib
import json
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from landmarks.distributed.processes import is_main
from landmarks.distributed.rank_messages import Lost
from landmarks.errors import UserError
from landmarks.files import remove_folder, replacing
from landmarks.runs.quoting import say_setting
from landmarks.runs.run_lock import LOCK, is_held

FINISHED = "finished.json"  # written when a run has taken its last step
KFOLD = "kfold.json"  # what a k-fold's folder holds when all its folds are finished
FAILED = "failed.txt"  # the error that a run ended in, until it goes on
CHECKPOINTS = ("last.pt", "best.pt")
OF_TRAINING = (*CHECKPOINTS, "split.npz", "train.log")
DATED = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-\d{6}")  # a run without a name of its own
START_SECONDS = 60.0  # seconds that a start may take to its lock
RESULTS = {  # what tells that a folder holds results of another command than `train`
    "predictions.csv": "predictions",
    "submission.csv": "predictions",
    "metrics.json": "an evaluation",
    "comparison.csv": "a comparison",
    "sheet-1.jpg": "contact sheets",
    "suspects.csv": "a check",
}
AGAIN = ("train", "evaluate", "show", "compare")  # replace all that they have left themselves
LEFTOVERS = (".hydra", "split.npz", "augmented.png", LOCK)  # where a start was refused


def all_checkpoints(name: str, folder: Path = Path("runs")) -> list[Path]:
    """Return the checkpoints `name` of the runs (and sweeps) in `folder`, newest first."""
    found = [*folder.glob(f"*/{name}"), *folder.glob(f"*/*/{name}")]
    return sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def find_checkpoint(path: Path | None, name: str = "best.pt") -> Path:
    """Return the checkpoint file that `path` (a file, a run folder, or None: the newest) means.

    Raises:
        UserError: if there is none.
    """
    if path is None:
        newest = next(iter(all_checkpoints(name)), None)
        if newest is None:
            raise UserError(
                f"No runs/*/{name} under {Path.cwd()}: run `landmarks train` first or set "
                f"checkpoint=FILE_OR_RUN."
            )
        return newest
    if path.is_dir():
        folder, path = path, path / name
        if not path.is_file():
            raise UserError(f"There is no checkpoint {path}: {_say_inside(folder, name)}")
    if not path.is_file():
        if path.suffix.lower() == ".onnx":
            raise UserError(f"There is no file {path}: correct the path of the exported model.")
        raise UserError(f"There is no checkpoint {path}: name a .pt file or a run's folder.")
    return path


def _say_inside(folder: Path, name: str) -> str:
    """Return in a sentence's end what to name in place of a folder that is no run."""
    inside = all_checkpoints(name, folder)
    if not inside:
        return "name a .pt file or a run's folder."
    if (folder / "fold-0").is_dir():
        return (
            f"{folder} is a k-fold that is not finished; go on with its training, or name one of "
            f"its folds, such as {inside[0].parent}."
        )
    more = f", the newest of {len(inside)}" if len(inside) > 1 else ""
    return f"{folder} is a folder of runs; name one of them, such as {inside[0].parent}{more}."


def is_kfold(path: Path) -> bool:
    """Say whether a folder is that of a finished k-fold."""
    return (path / KFOLD).is_file()


def find_members(path: Path | None) -> list[Path]:
    """Return the checkpoints of a finished k-fold in the folder `path`; none of anything else.

    Raises:
        UserError: if one of them is missing.
    """
    if path is None or not is_kfold(path):
        return []
    count = json.loads((path / KFOLD).read_text(encoding="utf-8"))["folds"]
    return [find_checkpoint(path / f"fold-{fold}") for fold in range(count)]


def remove_abandoned(run: Path) -> None:
    """Remove what a killed training left: its lock, or the folder if there is no last.pt yet."""
    names = {path.name for path in run.iterdir()}
    if is_held(run):
        return
    # A best.pt without a last.pt is of the first epoch, and nothing can go on from it.
    known = (*LEFTOVERS, "best.pt") if LOCK in names else LEFTOVERS
    if not all(name in known or name.endswith(".log") for name in names):
        (run / LOCK).unlink(missing_ok=True)
        return
    # Hydra makes the folder, then comes the lock. A folder without one is starting or was killed.
    is_start = names <= {".hydra", "train.log"} and (names or DATED.match(run.name))
    is_old = time.time() - run.stat().st_mtime > START_SECONDS
    if LOCK in names or (is_start and is_old):
        remove_folder(run)


def refuse_taken(run: Path, command: str) -> None:
    """Refuse to write a command's results among those of a training or of another command.

    What `check` has listed may have been edited, and no second check replaces it either.

    Raises:
        UserError: naming the folder, or the file that stands in its place.
    """
    file = next((place for place in (run, *run.parents) if place.is_file()), None)
    if file is not None:
        raise UserError(f"run_dir={run}: {file} is a file; name a folder.")
    if command == "train" and is_held(run):
        raise UserError(f"run_dir={run} is being trained by another process: name another folder.")
    taken = CHECKPOINTS if command == "train" else OF_TRAINING
    if any((run / name).is_file() for name in taken):
        goes_on = f"go on with it by {say_setting('resume', run)}, or "
        way_on = goes_on if command == "train" else ""
        raise UserError(f"run_dir={run} holds a run: {way_on}name another folder.")
    if command in AGAIN and (run / f"{command}.log").is_file():
        return
    held = next((what for name, what in RESULTS.items() if (run / name).is_file()), None)
    if held is not None:
        raise UserError(f"run_dir={run} holds {held}: name another folder, or remove this one.")


@contextmanager
def mark_failure(run: Path) -> Iterator[None]:
    """Note the error that a training ends in, so that resume=auto passes over the run.

    A finished run stays so until it has been trained on, see `FINISHED`.
    """
    try:
        yield
    except Lost:  # resume=auto goes on with it
        raise
    except Exception as error:
        if not is_main():
            raise
        said = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        if not (run / FINISHED).is_file():
            # The error itself may be a full disk.
            with contextlib.suppress(UserError), replacing(run / FAILED) as part:
                part.write_text(f"{said}\n", encoding="utf-8")
        raise


class Leftovers:
    """Remembers what a folder held before a start, so that only new files are removed.

    Args:
        place: the run's folder, or one around it; None: a new folder is made.
    """

    def __init__(self, place: Path | None):
        self._place = place.resolve() if place is not None and place.exists() else None
        is_folder = self._place is not None and self._place.is_dir()
        self._names = {path.name for path in self._place.iterdir()} if is_folder else set()

    def remove(self, run: Path) -> None:
        """Remove a refused start's settings, split and log, and its folder if it is new."""
        if self._place is not None and run.resolve() != self._place:
            return
        if not run.is_dir() or run.samefile(Path.cwd()):  # some commands make no folder
            return
        made = [path for path in run.iterdir() if path.name not in self._names]
        if not all(path.name in LEFTOVERS or path.suffix == ".log" for path in made):
            return
        for path in made:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if self._place is None:
            run.rmdir()
