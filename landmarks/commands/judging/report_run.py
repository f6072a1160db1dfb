"""What a training says of its model at its end: report.html, and the figures that it shows."""

import logging
import time
from contextlib import nullcontext, suppress
from pathlib import Path

from landmarks.commands.judging.judge import Sharing, judge_model
from landmarks.commands.judging.judge_checkpoint import share_as_split
from landmarks.commands.judging.judged_faces import choose_judged
from landmarks.commands.judging.report_judgement import find_other, report_judgement
from landmarks.commands.training_run.train_settings import TrainSettings
from landmarks.distributed.deal_work import dealing
from landmarks.distributed.processes import is_main
from landmarks.distributed.store import Lost
from landmarks.evaluation.write_evaluation import Judgement, Outcome, conclude, write_outcome
from landmarks.inference.finder import Framing
from landmarks.inference.predictor import Predictor
from landmarks.outputs.pictures import drawing
from landmarks.runs.checkpoint import load_config
from landmarks.settings import DeviceName, Workers
from landmarks.training.budget import say_duration

log = logging.getLogger(__name__)
THRESHOLDS = [0.08, 0.1]
BLOCK = 10  # neighbouring rows that are taken together
SAME_DATA = dict.fromkeys(("root", "cache_dir", "limit", "exif"))


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
