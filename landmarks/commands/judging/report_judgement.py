"""report.html of a judgement or a training: what it is compared with, what its run came to."""

import csv
import logging
import time
from contextlib import nullcontext, suppress
from pathlib import Path

from landmarks.commands.judging.judge import Sharing, judge_model
from landmarks.commands.judging.judge_checkpoint import share_as_split
from landmarks.commands.judging.judged_faces import choose_judged
from landmarks.commands.preparing.non_default_settings import list_chosen
from landmarks.commands.training_run.train_settings import TrainSettings
from landmarks.distributed.deal_work import dealing
from landmarks.distributed.processes import is_main
from landmarks.distributed.rank_messages import Lost
from landmarks.evaluation.comparison import Stored, find_previous, read_stored, require_same_faces
from landmarks.evaluation.metrics_json import fingerprints_of
from landmarks.evaluation.report import Background, write_report
from landmarks.evaluation.write_evaluation import Judgement, Outcome, conclude, write_outcome
from landmarks.inference.finder_protocol import Framing
from landmarks.inference.predictor import Predictor
from landmarks.outputs.pictures import drawing
from landmarks.runs.checkpoint import load_config
from landmarks.settings import DeviceName, Workers
from landmarks.training.time_budget import say_duration

log = logging.getLogger(__name__)
THRESHOLDS = [0.08, 0.1]
BLOCK = 10  # neighbouring rows that are taken together
SAME_DATA = dict.fromkeys(("root", "cache_dir", "limit", "exif"))


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
    fingerprints = fingerprints_of(judgement.faces)
    if against is None:
        model = (outcome.metrics.get("checkpoint") or {}).get("sha256")
        return find_previous(out, fingerprints, [*runs.glob("*/"), *runs.glob("*/*/")], model)
    other = read_stored(Path(against))
    errors = judgement.errors
    names = [name.decode() for name in errors.names.tolist()]
    mine = Stored(*(out, names, judgement.groups, errors.squared, errors.nme, fingerprints, {}))
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


def report_run(run: Path, settings: TrainSettings, device: DeviceName) -> None:
    """Judge a run's best model on its validation faces and write report.html into its folder.

    All processes of a training come here. What fails is said, and ends nothing: the model is
    trained.
    """
    started = time.monotonic()
    # A process that fails leaves `dealing`, so that the others, which wait for it there, fail too.
    with drawing(run), nullcontext() if is_main() else suppress(Lost), dealing():
        judgement, outcome = judge_run(run, run, device, settings.workers)
        if judgement is None:
            return
        other = find_other(None, judgement, outcome, run, run.parent)
        report_judgement(run, judgement, outcome, other)
        log.info(f"The report took {say_duration(time.monotonic() - started)}.")


def judge_run(
    run: Path, out: Path, device: DeviceName, workers: Workers
) -> tuple[Judgement, Outcome] | tuple[None, None]:
    """Judge a run's best model on its validation faces; write figures and tables to a folder.

    Of several processes the first one returns them.

    Args:
        run: its folder.
        out: the folder of figures and tables.
        device, workers: see `Predictor`.
    """
    path = run / "best.pt"
    config = load_config(path)
    predictor = Predictor(path, device=device, amp=config["amp"])
    data = {**SAME_DATA, "on_error": config["data"]["on_error"]}
    judged = choose_judged(config, [run], data, "val")
    framing = Framing(
        batch_size=2 * config["batch_size"], on_error=data["on_error"], workers=workers
    )
    sharing = share_as_split(Sharing(None, None, BLOCK, []), config["split"])
    judgement = judge_model(predictor, [path], judged, out, framing, sharing)
    if judgement is None:
        return None, None
    outcome = conclude(judgement, THRESHOLDS, config["seed"])
    write_outcome(out, judgement, outcome)
    return judgement, outcome
