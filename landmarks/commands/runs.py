"""`landmarks runs`: a table of all runs."""

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from landmarks.commands.judging.report_judgement import read_history
from landmarks.commands.preparing.non_default_settings import list_chosen
from landmarks.errors import UserError
from landmarks.evaluation.error_tables import write_table
from landmarks.files import refuse_foreign
from landmarks.runs.checkpoint import load_config
from landmarks.runs.find_runs import CHECKPOINTS, FAILED, FINISHED
from landmarks.runs.run_lock import is_held
from landmarks.training.time_budget import say_duration

log = logging.getLogger(__name__)
HEADING = ("run", "state", "MSE, px²", "NME", "epochs", "time", "data", "settings of its own")
COLUMNS = 7  # before the settings
START = b"run,state,"  # of the table as a file, see `Told`
CELL = 40  # characters of a cell, at most
SortName = Literal["score", "run", "time", "epochs", "state"]


@dataclass(frozen=True, kw_only=True)
class RunsSettings:
    """All that the command is told, of configs/runs.yaml."""

    folder: str
    sort: SortName
    csv: str | None
    run_dir: str


class Told(NamedTuple):
    """What the table says of a run; seconds are those of its epochs."""

    run: str
    state: str
    score: float | None
    nme: float | None
    epochs: int
    seconds: float
    data: str
    settings: str


def runs(settings: RunsSettings) -> int:
    """List runs; return the exit code."""
    folder = Path(settings.folder)
    if settings.csv is not None:
        refuse_foreign(Path(settings.csv), START, f"csv={settings.csv}")
    found = [tell(run, folder) for run in find_runs(folder)]
    if not found:
        raise UserError(f"There are no runs in {folder}: run `landmarks train`, or set folder=.")
    order = {
        "score": lambda told: (told.score is None, told.score or 0.0, told.run),
        "run": lambda told: told.run,
        "time": lambda told: -told.seconds,
        "epochs": lambda told: -told.epochs,
        "state": lambda told: (told.state, told.run),
    }
    found.sort(key=order[settings.sort])
    for line in draw_table(found, shutil.get_terminal_size((160, 24)).columns):
        log.info(line)
    if settings.csv is not None:
        path = Path(settings.csv)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, [told._asdict() for told in found])
        log.info(f"As a table: {path}")
    return 0


def find_runs(folder: Path) -> list[Path]:
    """Return the folders of runs in a folder and in the sweeps and k-folds in it."""
    places = [place for pattern in ("*/", "*/*/") for place in folder.glob(pattern)]
    return [place for place in places if any((place / name).is_file() for name in CHECKPOINTS)]


def tell(run: Path, folder: Path) -> Told:
    """Return what the table says of a run."""
    history = read_history(run / "metrics.csv")
    best = min(history, key=lambda row: row.get("val_mse", float("inf")), default={})
    checkpoint = next(run / name for name in reversed(CHECKPOINTS) if (run / name).is_file())
    try:
        config = load_config(checkpoint)
        chosen = [row for row in list_chosen(config) if row[0] not in ("data", "data.root")]
        settings = " ".join(f"{name}={value}" for name, value, _ in chosen)
        data = _name_data(config["data"])
    except UserError as error:
        settings, data = f"unknown: {error}", ""
    return Told(
        run.relative_to(folder).as_posix(),
        _state(run),
        best.get("val_mse"),
        best.get("val_nme"),
        len(history),
        sum(row.get("seconds", 0.0) for row in history),
        data,
        settings,
    )


def _name_data(node: dict) -> str:
    """Return the folder or file of the data that a run was trained on; else their format."""
    places = [node.get(key) for key in ("root", "train", "train_annotations")]
    format_name = node["_target_"].split(".")[-2]
    return next((place for place in places if isinstance(place, str)), format_name)


def _state(run: Path) -> str:
    if is_held(run):
        return "training"
    if (run / FINISHED).is_file():
        return "finished"
    return "failed" if (run / FAILED).is_file() else "stopped"


def _shorten(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."


def draw_table(found: list[Told], width: int) -> list[str]:
    """Return the lines of a table for a screen of that width."""
    rows = [HEADING]
    for told in found:
        score = "" if told.score is None else f"{told.score:.3f}"
        nme = "" if told.nme is None else f"{told.nme:.4f}"
        spent = say_duration(told.seconds)
        shown = (told.run, told.state, score, nme, str(told.epochs), spent, Path(told.data).name)
        rows.append((*(_shorten(cell, CELL) for cell in shown), told.settings))
    widths = [max(len(row[i]) for row in rows) for i in range(COLUMNS)]
    rest = max(CELL, width - sum(widths) - 2 * COLUMNS)
    right = (2, 3, 4)
    return [
        "  ".join(
            [
                *(
                    cell.rjust(widths[i]) if i in right else cell.ljust(widths[i])
                    for i, cell in enumerate(row[:COLUMNS])
                ),
                _shorten(row[COLUMNS], rest),
            ]
        ).rstrip()
        for row in rows
    ]
