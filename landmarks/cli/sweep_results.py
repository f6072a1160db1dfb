"""What the jobs of a sweep came to: each leaves a note, wherever it ran; at the end a table of all.

A launcher may run jobs in other processes or on other machines; they share the sweep's folder.
"""

import csv
import importlib.util
import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from landmarks.errors import UserError
from landmarks.files import replacing
from landmarks.interrupt import SIGNALS

EXTRAS = {  # a choice of hydra/launcher, the plugin of Hydra's that it needs, and our extra of it
    "on_joblib": ("hydra_joblib_launcher", "joblib"),
    "on_ray": ("hydra_ray_launcher", "ray"),
    "on_slurm": ("hydra_submitit_launcher", "submitit"),
    "on_submitit_local": ("hydra_submitit_launcher", "submitit"),
}
CHOICE = re.compile(r"hydra/launcher=(\w+)")
CELL = 60  # signs of a cell on the screen, at most


@dataclass(frozen=True)
class JobNote:
    """How one job ended.

    Attributes:
        number: of the job, from 0.
        words: what the command line set for it alone.
        code: its exit code.
        failure: why it failed, a sentence; "" if it did not.
        score: its lowest validation error, val_mse; None: there is none.
        epochs: that it trained.
        seconds: that they took.
        pruned: whether a search ended it as a poor one.
    """

    number: int
    words: list[str]
    code: int
    failure: str = ""
    score: float | None = None
    epochs: int = 0
    seconds: float = 0.0
    pruned: bool = False

    @property
    def state(self) -> str:
        """How it ended, in a word."""
        if self.code - 128 in SIGNALS:
            return "stopped"
        if self.pruned:
            return "pruned"
        return "failed" if self.code or self.failure else "finished"


class SweepPlace(Callback):
    """Keeps the folder of the sweep that is begun here; Hydra makes one and tells it."""

    place: Path | None = None

    def on_multirun_start(self, config: DictConfig, **told: Any) -> None:
        """Note the folder."""
        SweepPlace.place = Path(str(config.hydra.sweep.dir)).resolve()


def refuse_launcher(words: list[str]) -> None:
    """Refuse a launcher whose package is not installed.

    Raises:
        UserError: naming the extra.
    """
    for choice in (found[1] for found in map(CHOICE.fullmatch, words) if found):
        plugin, extra = EXTRAS.get(choice, ("", ""))
        if plugin and importlib.util.find_spec(f"hydra_plugins.{plugin}") is None:
            raise UserError(
                f"hydra/launcher={choice} needs the package: pip install 'landmarks[{extra}]'."
            )


def note_job(sweep: Path, run: Path, number: int, words: list[str], code: int, why: str) -> JobNote:
    """Leave a note of how a job ended, with what its run has reached.

    Args:
        sweep: the sweep's folder.
        run: the job's.
        number, words, code, why: see `JobNote`.
    """
    rows = _read_history(run / "metrics.csv")
    scores = [float(row["val_mse"]) for row in rows if row.get("val_mse")]
    seconds = sum(float(row.get("seconds") or 0) for row in rows)
    note = JobNote(number, words, code, why, min(scores, default=None), len(rows), seconds)
    keep_note(sweep, note)
    return note


def keep_note(sweep: Path, note: JobNote) -> None:
    """Write a note into the sweep's folder."""
    (sweep / "jobs").mkdir(exist_ok=True)
    with replacing(sweep / "jobs" / f"{note.number}.json") as part:
        part.write_text(json.dumps(asdict(note)))


def _read_history(path: Path) -> list[dict]:
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def read_notes(sweep: Path) -> list[JobNote]:
    """Return the notes of a sweep's jobs, by their number."""
    notes = [JobNote(**json.loads(path.read_text())) for path in (sweep / "jobs").glob("*.json")]
    return sorted(notes, key=lambda note: note.number)


def say_jobs(sweep: Path, notes: list[JobNote], say: Callable[[str], None]) -> None:
    """Say what the jobs came to, best first, and write it to sweep.csv.

    Args:
        sweep: the sweep's folder.
        notes: of its jobs.
        say: takes a line.
    """
    rows = [_row(note, _differing(notes)) for note in sorted(notes, key=_rank)]
    with replacing(sweep / "sweep.csv") as part, part.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    shown = [[*rows[0]], *([_short(cell) for cell in row.values()] for row in rows)]
    widths = [max(len(row[i]) for row in shown) for i in range(len(rows[0]))]
    for row in shown:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        say("  ".join(cells).rstrip())
    say(f"As a table: {sweep / 'sweep.csv'}")


def say_failures(notes: list[JobNote]) -> list[str]:
    """Return a sentence for each job that failed, with what it was given that others were not."""
    keys = _differing(notes)
    return [
        f"job {note.number} ({' '.join(word for word in note.words if _key(word) in keys)}): "
        f"{note.failure}"
        for note in notes
        if note.failure
    ]


def _key(word: str) -> str:
    return word.partition("=")[0]


def _rank(note: JobNote) -> tuple:
    return note.score is None, note.score or 0.0, note.number


def _differing(notes: list[JobNote]) -> list[str]:
    """Return the settings that are not the same in all jobs."""
    given = [dict(word.split("=", 1) for word in note.words) for note in notes]
    keys = dict.fromkeys(key for words in given for key in words)
    return [key for key in keys if len({words.get(key) for words in given}) > 1]


def _row(note: JobNote, keys: list[str]) -> dict[str, str]:
    given = dict(word.split("=", 1) for word in note.words)
    return {
        "job": str(note.number),
        "state": note.state,
        "val_mse": "" if note.score is None else f"{note.score:.7g}",
        "epochs": str(note.epochs),
        "seconds": f"{note.seconds:.1f}",
        **{key: given.get(key, "") for key in keys},
        "failure": note.failure,
    }


def _short(cell: str) -> str:
    return cell if len(cell) <= CELL else f"{cell[: CELL - 3]}..."
