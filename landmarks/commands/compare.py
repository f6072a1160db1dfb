"""`landmarks compare`: two or more models on the same faces."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

from landmarks.commands.judging.report_judgement import judge_run, read_history
from landmarks.commands.preparing.non_default_settings import list_chosen
from landmarks.commands.preparing.shared_settings import OutputFolder
from landmarks.errors import UserError
from landmarks.evaluation.comparison import (
    Stored,
    compare_errors,
    read_stored,
    require_same_faces,
    say_difference,
)
from landmarks.evaluation.error_tables import write_table
from landmarks.files import refuse_twice
from landmarks.outputs.pictures import drawing, save_histories
from landmarks.runs.checkpoint import load_config
from landmarks.settings import Count, DeviceName, Rule, Workers

log = logging.getLogger(__name__)
SHOWN = {  # figures, by name, and their digits
    "mse": 3,
    "nme": 4,
    "leaderboard.mse": 3,
    "point_error.median": 3,
    "point_error.p95": 3,
    "failure_rate.0.08": 4,
    "auc.0.08": 4,
}
Folders = Annotated[list, Rule(lambda v: all(type(x) is str for x in v), "folders of runs")]


@dataclass(frozen=True, kw_only=True)
class CompareSettings(OutputFolder):
    """All that a comparison is told, of configs/compare.yaml."""

    runs: Folders
    seed: Count
    device: DeviceName
    workers: Workers


class Compared(NamedTuple):
    """A model: its name in the table, what was found, its settings and its learning curve."""

    name: str
    stored: Stored
    settings: dict[str, str]
    history: list[dict[str, float]]


def compare(settings: CompareSettings) -> int:
    """Compare models; return the exit code."""
    out = settings.make_folder()
    places = [Path(place) for place in settings.runs]
    if len(places) < 2:
        error = UserError("Two or more runs are compared: landmarks compare RUN RUN.")
        error.code = 2
        raise error
    lost = next((place for place in places if not place.is_dir()), None)
    if lost is not None:
        raise UserError(f"There is no folder {lost}: name runs, or evaluations of them.")
    refuse_twice(places)
    names = name_apart(places)
    models = [_open(place, name, out, settings) for place, name in zip(places, names, strict=True)]
    for other in models[1:]:
        require_same_faces(models[0].stored, other.stored)
    faces = models[0].stored.figures["faces"]
    log.info(f"{len(models)} models on the same {faces} faces.")
    _say_settings(models)
    rows = [_row(model) for model in models]
    best = min(models, key=lambda model: model.stored.figures["mse"])
    for model, row in zip(models, rows, strict=True):
        figures = ", ".join(
            f"{key} {row[key]:.{digits}f}"
            for key, digits in SHOWN.items()
            if row.get(key) is not None
        )
        log.info(f"{model.name}: {figures}")
        if model is not best:
            found = compare_errors(model.stored, best.stored, settings.seed)
            row |= {"above_best": found.mean, "low": found.low, "high": found.high}
            row["more_than_chance"] = found.excludes_zero
            log.info(say_difference(model.name, best.name, found))
    every = dict.fromkeys(key for row in rows for key in row)
    write_table(out / "comparison.csv", [{key: row.get(key, "") for key in every} for row in rows])
    log.info(f"As a table: {out / 'comparison.csv'}")
    histories = {model.name: model.history for model in models if model.history}
    if histories:
        with drawing(out):
            save_histories(out / "curves.png", histories)
            log.info(f"Learning curves: {out / 'curves.png'}")
    return 0


def name_apart(places: list[Path]) -> list[str]:
    """Return the shortest ends of different paths that tell them apart."""
    whole = [place.resolve() for place in places]
    for count in range(1, max(len(place.parts) for place in whole) + 1):
        names = ["/".join(place.parts[-count:]) for place in whole]
        if len(set(names)) == len(names):
            return names
    raise AssertionError("different paths have different parts")


def _open(place: Path, name: str, out: Path, settings: CompareSettings) -> Compared:
    is_run = (place / "best.pt").is_file()
    if is_run and not (place / "errors.npz").is_file():
        log.info(f"{name} has not been evaluated yet: on its validation faces now.")
        folder = out / name.replace("/", "-")
        folder.mkdir(parents=True, exist_ok=True)
        judge_run(place, folder, settings.device, settings.workers)
        stored = read_stored(folder)._replace(folder=place)
    else:
        stored = read_stored(place)
    checkpoint = Path(stored.figures.get("checkpoint", {}).get("path") or "")
    path = place / "best.pt" if is_run else checkpoint
    if not path.is_file():
        return Compared(name, stored, {}, [])
    chosen = {key: value for key, value, _ in list_chosen(load_config(path))}
    return Compared(name, stored, chosen, read_history(path.parent / "metrics.csv"))


def _say_settings(models: list[Compared]) -> None:
    """Log the settings in which the models differ from one another."""
    keys = dict.fromkeys(key for model in models for key in model.settings)
    for key in keys:
        values = [model.settings.get(key, "default") for model in models]
        if len(set(values)) > 1:
            pairs = zip(models, values, strict=True)
            log.info(f"{key}: {', '.join(f'{value} ({model.name})' for model, value in pairs)}")


def _row(model: Compared) -> dict:
    figures = model.stored.figures
    row: dict = {"run": model.name}
    for key in SHOWN:
        value, rest = figures, key
        while rest and isinstance(value, dict):
            name = next(
                (name for name in value if rest == name or rest.startswith(f"{name}.")), None
            )
            value = None if name is None else value[name]
            rest = rest[len(name or rest) + 1 :]
        row[key] = value
    return row
