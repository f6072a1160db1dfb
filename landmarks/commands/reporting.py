"""The report of a judgement: what it is compared with, and what is known of its run."""

import csv
import logging
from pathlib import Path

from landmarks.commands.chosen_settings import list_chosen
from landmarks.evaluation.comparison import (
    Stored,
    find_previous,
    read_stored,
    require_same_faces,
)
from landmarks.evaluation.figures import fingerprint_of
from landmarks.evaluation.outcome import Judgement, Outcome
from landmarks.evaluation.report import Background, write_report
from landmarks.runs.checkpoint import load_config

log = logging.getLogger(__name__)


def find_other(
    against: str | None,
    judgement: Judgement,
    outcome: Outcome,
    out: Path,
    runs: Path = Path("runs"),
) -> Stored | None:
    """Return the evaluation that a report compares with, if there is one.

    Args:
        against: a folder with errors.npz; None: the newest in `runs`, of the same labels and
            another model.
        judgement, outcome, out: of the evaluation itself, and its folder.

    Raises:
        UserError: if the named one is none, or of other faces.
    """
    fingerprint = fingerprint_of(judgement.faces)
    if against is None:
        model = (outcome.metrics.get("checkpoint") or {}).get("sha256")
        return find_previous(out, fingerprint, [*runs.glob("*/"), *runs.glob("*/*/")], model)
    other = read_stored(Path(against))
    errors = judgement.errors
    names = [name.decode() for name in errors.names.tolist()]
    mine = Stored(*(out, names, judgement.groups, errors.squared, errors.nme, fingerprint, {}))
    require_same_faces(mine, other)
    return other


def report_judgement(
    out: Path, judgement: Judgement, outcome: Outcome, other: Stored | None
) -> None:
    """Write report.html into a folder."""
    checkpoint = outcome.metrics.get("checkpoint")
    history, settings = [], []
    if checkpoint is not None:
        run = Path(checkpoint["path"]).parent
        title = f"{run.resolve().name}: {checkpoint['model'].partition(',')[0]}"
        history, settings = read_history(run / "metrics.csv"), []
        settings = list_chosen(load_config(Path(checkpoint["path"])))
    else:
        title = Path(outcome.metrics["predictions"]["path"]).name
    background = Background(title, history, settings, other)
    write_report(out / "report.html", judgement, outcome, background)
    log.info(f"Report: {out / 'report.html'}")


def read_history(path: Path) -> list[dict[str, float]]:
    """Return the rows of a run's metrics.csv, numbers by name; none where there is no such file."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [
                {key: float(value) for key, value in row.items() if value}
                for row in csv.DictReader(file)
            ]
    except (OSError, ValueError, TypeError) as error:
        log.debug(f"{path} is not read: {error}")
        return []
