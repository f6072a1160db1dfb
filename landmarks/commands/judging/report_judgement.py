"""The report of a judgement: what it is compared with, and what is known of its run."""

import csv
import logging
from pathlib import Path

from landmarks.commands.preparing.changed_settings import list_chosen
from landmarks.evaluation.comparison import Stored, find_previous, read_stored, require_same_faces
from landmarks.evaluation.metrics_json import fingerprint_of
from landmarks.evaluation.report import Background, write_report
from landmarks.evaluation.write_evaluation import Judgement, Outcome
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
    title, history, settings = _tell_model(outcome.metrics)
    background = Background(title, history, settings, other)
    write_report(out / "report.html", judgement, outcome, background)
    log.info(f"Report: {out / 'report.html'}")


def _tell_model(metrics: dict) -> tuple[str, list, list]:
    """Return a title, the learning curve and the settings of what was judged, where known."""
    checkpoint = metrics.get("checkpoint")
    if checkpoint is None:
        return Path(metrics["predictions"]["path"]).name, [], []
    path, kind = checkpoint["path"], checkpoint["model"].partition(", validation")[0]
    if path is None:  # several
        return kind, [], []
    path = Path(path)
    if "members" in checkpoint:  # of a k-fold
        chosen = list_chosen(load_config(Path(checkpoint["members"][0]["path"])))
        settings = [row for row in chosen if row[0] != "split.fold"]
        return f"{path.resolve().name}: {kind}", [], settings
    title = f"{path.parent.resolve().name}: {kind.partition(',')[0]}"
    settings = [] if path.suffix == ".onnx" else list_chosen(load_config(path))
    return title, read_history(path.parent / "metrics.csv"), settings


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
