"""Run folders: which checkpoint a path, or no path at all, means. Imports no torch."""

import shutil
from pathlib import Path

from landmarks.errors import UserError

FINISHED = "finished.json"  # written when a run has taken its last step


def newest_checkpoint(
    name: str, folder: Path = Path("runs"), unfinished: bool = False
) -> Path | None:
    """Return the most recently written checkpoint `name` of the runs (and sweeps) in `folder`."""
    found = [*folder.glob(f"*/{name}"), *folder.glob(f"*/*/{name}")]
    if unfinished:
        found = [path for path in found if not (path.parent / FINISHED).exists()]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def find_checkpoint(path: Path | None, name: str = "best.pt") -> Path:
    """Return the checkpoint file that `path` (a file, a run folder, or None: the newest) means.

    Raises:
        UserError: if there is none.
    """
    if path is None:
        newest = newest_checkpoint(name)
        if newest is None:
            raise UserError(
                f"No runs/*/{name} under {Path.cwd()}: run `landmarks train` first or set "
                f"checkpoint=FILE_OR_RUN."
            )
        return newest
    if path.is_dir():
        path = path / name
    if not path.is_file():
        raise UserError(f"There is no checkpoint {path}: name a .pt file or a run's folder.")
    return path


def remove_if_empty(run: Path) -> None:
    """Remove a run's folder if nothing but its settings, split and log was written to it.

    A folder without settings is none that was made for a run.
    """
    if not (run / ".hydra").is_dir():
        return
    worthless = (".hydra", "split.npz", "augmented.png")
    if all(path.name in worthless or path.suffix == ".log" for path in run.iterdir()):
        shutil.rmtree(run, ignore_errors=True)


class KeptSettings:
    """The settings of a run that is taken up again, for where it turns out that it cannot be.

    Hydra writes the new ones to the run's folder before anything is checked.

    Args:
        run: its folder; None: there is no such run.
    """

    def __init__(self, run: Path | None):
        files = sorted(run.glob(".hydra/*.yaml")) if run else []
        self._content = {path: path.read_bytes() for path in files}
        self._checkpoint = run / "last.pt" if run else None
        self._written = self._when()

    def restore(self) -> None:
        """Write them back, if the run has not gone on since."""
        if self._when() == self._written:
            for path, content in self._content.items():
                path.write_bytes(content)

    def _when(self) -> int | None:
        is_there = self._checkpoint is not None and self._checkpoint.is_file()
        return self._checkpoint.stat().st_mtime_ns if is_there else None
