"""`landmarks evaluate`: a model, or predictions of a file, and labelled faces -> figures."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from landmarks.commands.judging.judge import Sharing, judge_file
from landmarks.commands.judging.judge_checkpoint import judge_checkpoint
from landmarks.commands.judging.judged_faces import SplitName, open_labelled, require_truth
from landmarks.commands.judging.report_judgement import find_other, report_judgement
from landmarks.commands.predict import refuse_predicted
from landmarks.commands.predicting.predict_settings import OtherData
from landmarks.commands.preparing.choose_layout import settle_layout
from landmarks.commands.preparing.shared_settings import ModelSettings, OutputFolder
from landmarks.data.check_labels import find_labelled
from landmarks.data.crops.boxes import BoxSource
from landmarks.distributed.deal_work import refuse_several
from landmarks.evaluation.metrics_json import (
    CONDITION_RULE,
    holds,
    read_condition,
    require_figure,
)
from landmarks.evaluation.write_evaluation import (
    Judgement,
    Outcome,
    conclude,
    draw_worst,
    write_outcome,
)
from landmarks.layout import Layout
from landmarks.settings import (
    AmpName,
    Count,
    DecoderName,
    DeviceName,
    Gpus,
    GroupOf,
    Needs,
    NonNegative,
    PositiveInt,
    Rule,
    Threads,
    Workers,
)

log = logging.getLogger(__name__)
FAILED = 4  # the exit code where fail_if holds
IS_GIVEN = Rule(lambda value: value is not None, "given")
OF_A_MODEL = Needs("/predictions", None)
OF_A_FILE = Needs("/predictions", IS_GIVEN, "predictions=FILE")
Thresholds = Annotated[
    list,
    Rule(
        lambda v: v and all(type(x) in (int, float) and x > 0 for x in v),
        "numbers above 0, such as [0.08, 0.1]",
    ),
]
Columns = Annotated[list, Rule(lambda v: all(type(x) is str for x in v), "names of columns")]


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings(ModelSettings, OutputFolder):
    """All that an evaluation is told, of configs/evaluate.yaml."""

    data: Annotated[dict, GroupOf(OtherData)]
    layout: Annotated[dict, GroupOf(Layout), OF_A_FILE]
    predictions: str | None
    split: SplitName | None
    thresholds: Thresholds
    table: str | None
    groups: Annotated[str | None, Needs("table", IS_GIVEN, "table=FILE")]
    block: Annotated[PositiveInt, Needs("groups", None)]
    slices: Columns
    worst: PositiveInt
    report: bool
    against: Annotated[str | None, Needs("report", True)]
    fail_if: Annotated[str, CONDITION_RULE] | None
    decoder: Annotated[DecoderName | None, OF_A_MODEL]
    flip_test: Annotated[bool | None, OF_A_MODEL]
    device: Annotated[DeviceName, OF_A_MODEL]
    gpus: Annotated[Gpus, OF_A_MODEL]
    amp: Annotated[AmpName, OF_A_MODEL]
    threads: Annotated[Threads, OF_A_MODEL]
    box_from: Annotated[BoxSource | None, OF_A_MODEL]
    box_margin: Annotated[NonNegative | None, OF_A_MODEL]
    batch_size: Annotated[PositiveInt, OF_A_MODEL]
    workers: Annotated[Workers, OF_A_MODEL]
    seed: Count


def evaluate(settings: EvaluateSettings) -> int:
    """Judge a model or a file of predictions; return the exit code."""
    if settings.fail_if is not None:
        require_figure(read_condition(settings.fail_if), settings.thresholds)
    out = settings.make_folder()
    sharing = Sharing(settings.table, settings.groups, settings.block, settings.slices)
    judgement = (_judge_file if settings.predictions else _judge_model)(settings, out, sharing)
    if judgement is None:  # the first of several processes has it
        return 0
    outcome = conclude(judgement, settings.thresholds, settings.seed)
    write_outcome(out, judgement, outcome)
    draw_worst(out, judgement, settings.worst)
    if settings.report:
        other = find_other(settings.against, judgement, outcome, out)
        report_judgement(out, judgement, outcome, other)
    say_outcome(judgement, outcome)
    log.info(f"Figures: {out / 'metrics.json'}; tables, worst.png and predictions beside it.")
    if settings.fail_if is None:
        return 0
    if not holds(read_condition(settings.fail_if), outcome.metrics):
        log.info(f"fail_if={settings.fail_if} does not hold.")
        return 0
    log.warning(f"fail_if={settings.fail_if} holds.")
    return FAILED


def _judge_model(settings: EvaluateSettings, out: Path, sharing: Sharing) -> Judgement | None:
    judgement, _ = judge_checkpoint(
        settings.checkpoint,
        settings.data,
        settings.split,
        out,
        settings.framing(),
        sharing,
        **settings.opening(),
    )
    return judgement


def _judge_file(settings: EvaluateSettings, out: Path, sharing: Sharing) -> Judgement:
    refuse_several(f"predictions={settings.predictions}: a file is judged by one process")
    refuse_predicted(out)  # those of a model judged there before would stay beside these figures
    faces = open_labelled(settings.data, settings.split)
    rows = faces.usable
    require_truth(faces, rows, None)
    labelled = find_labelled(faces.points, rows)
    layout = settle_layout(settings.layout, faces, rows, labelled, settings.seed)
    path = Path(settings.predictions)
    return judge_file(path, faces, settings.split or "all", layout, out, sharing)


def say_outcome(judgement: Judgement, outcome: Outcome) -> None:
    """Log the figures that matter most."""
    found, data = outcome.metrics, outcome.metrics["data"]
    board, points = found["leaderboard"], found["point_error"]
    log.info(f"{data['source']}: {found['faces']} faces ({data['split']}).")
    log.info(
        f"MSE {found['mse']:.3f} px², NME {_say(found['nme'])} ({found['normaliser']}), point "
        f"error median {points['median']:.2f} px, 95 % within {points['p95']:.2f} px."
    )
    if judgement.faces.scored_to is not None:
        log.info(
            f"RMSE {found['rmse']:.4f} px over all labelled coordinates, predicted ones clipped to "
            f"0 ... {judgement.faces.scored_to:g}, as the contest scores."
        )
    elif board["low"] is not None:
        log.info(
            f"A leaderboard would say {board['mse']:.2f} px²; of other such faces 95 % of the time "
            f"{board['low']:.2f} to {board['high']:.2f} (bootstrap over {board['groups']} "
            f"{judgement.grouping})."
        )
    for row in found["visibility"]:
        log.info(
            f"{row['points'].capitalize()} points: {row['n']}, mean error {_say(row['mean'])} px, "
            f"NME {_say(row['nme'])}."
        )
    worst = max(outcome.by_region, key=lambda row: row["share"])
    if len(outcome.by_region) > 1:
        log.info(
            f"Of the squared error {100 * worst['share']:.0f} % lies in {worst['region']} "
            f"({worst['points']} of {found['points']} points)."
        )


def _say(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"
