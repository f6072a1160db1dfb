"""report.html: what an evaluation has come to, in one file that opens by itself."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from jinja2 import Environment, StrictUndefined

from landmarks.evaluation.bootstrap import Interval
from landmarks.evaluation.comparison import Stored, compare_errors, say_difference
from landmarks.evaluation.face_errors import forget_pages
from landmarks.evaluation.report_charts import Line, choose_faces, line_chart, mean_face, show_face
from landmarks.evaluation.write_evaluation import Judgement, Outcome
from landmarks.files import replacing

MIN_SHARE = 0.02  # of the faces, that a slice must have to be named
MIN_FACES = 5
MIN_RATIO = 1.15  # times the mean error
WORST = 0.05  # share of the faces whose part in the error is told
UNTOLD = ("(unknown)", "(others)")
FACES = {"worst": 8, "median": 4, "best": 4}
SHAPED = 2000  # faces that the mean face is made of
FORGOTTEN = 10  # of so many faces, one drops the pages that the labels were read from
CURVE_END = 0.15  # of the cumulative curve, if no face's error asks for more
MAGNIFIED = 4.0  # times their length, arrows of bias


def name_weaknesses(metrics: dict, squared: np.ndarray, count: int = 3) -> list[str]:
    """Return up to `count` + 2 sentences, the gravest slices between regions and single faces.

    Args:
        metrics: as in metrics.json.
        squared: (N,) the faces' errors.
    """
    said = []
    regions = [row for row in metrics["regions"] if row["share"] is not None]
    if len(regions) > 1:
        worst = max(regions, key=lambda row: row["share"])
        said.append(
            f"{worst['share']:.0%} of the squared error lies in {worst['region']}, which has "
            f"{worst['points'] / metrics['points']:.0%} of the points."
        )
    for ratio, name, part in _slices(metrics)[:count]:
        error = (
            f"NME {part['nme']:.4f}" if part["nme"] is not None else f"MSE {part['mse']:.2f} px²"
        )
        said.append(
            f"Faces with {name} {part['label']} ({part['faces']} of {metrics['faces']}): {error}, "
            f"{ratio:.1f} times the mean."
        )
    known = np.sort(squared[np.isfinite(squared)])[::-1]
    number = max(1, round(WORST * len(known)))
    if len(known) >= 2 / WORST and known.sum() > 0:
        share = known[:number].sum() / known.sum()
        said.append(
            f"The worst {number} of {len(known)} faces have {share:.0%} of the squared error."
        )
    return said


def _slices(metrics: dict) -> list[tuple[float, str, dict]]:
    """Return (times the mean error, name, part) of what is well above it, one a slice."""
    found = []
    key = "mse" if metrics["nme"] is None else "nme"  # of large faces the MSE is large anyway
    enough = max(MIN_FACES, MIN_SHARE * metrics["faces"])
    if not metrics[key]:  # labels that are judged by themselves
        return []
    for each in metrics["slices"]:
        parts = [
            (part[key] / metrics[key], each["name"], part)
            for part in each["parts"]
            if part[key] is not None and part["faces"] >= enough and part["label"] not in UNTOLD
        ]
        if len(parts) > 1:
            found.append(max(parts, key=lambda part: part[0]))
    return sorted((part for part in found if part[0] >= MIN_RATIO), key=lambda part: -part[0])


@dataclass(frozen=True, eq=False)
class Background:
    """What a report tells beside the figures.

    title: of the model or file; history: rows of the run's metrics.csv, numbers by name; settings:
    (name, value, default) of those that differ from the defaults; other: what it is compared with.
    """

    title: str
    history: Sequence[Mapping[str, float]] = ()
    settings: Sequence[tuple[str, str, str]] = ()
    other: Stored | None = None


def write_report(
    path: Path, judgement: Judgement, outcome: Outcome, background: Background
) -> None:
    """Write the report, in one piece."""
    metrics, errors, other = outcome.metrics, judgement.errors, background.other
    difference = None if other is None else _difference(judgement, other, background.title)
    chosen = choose_faces(errors.squared, FACES)
    page = _template().render(
        title=background.title,
        written=time.strftime("%Y-%m-%d %H:%M"),
        metrics=metrics,
        weaknesses=name_weaknesses(metrics, errors.squared),
        comparison=difference,
        other=None if other is None else {"name": other.folder.name, "figures": other.figures},
        curve=_cumulative(judgement, background, list(map(float, metrics["failure_rate"]))),
        face=_mean_face(judgement, outcome),
        regions=outcome.by_region,
        faces={
            kind: [face for i in places if (face := show_face(judgement, i)) is not None]
            for kind, places in chosen.items()
        },
        learning=_learning(background.history),
        calibration=_calibration(metrics),
        settings=background.settings,
    )
    with replacing(path) as part:
        part.write_text(page, encoding="utf-8")


def _template():
    text = files("landmarks.evaluation").joinpath("report.html.j2").read_text(encoding="utf-8")
    made = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters["number"] = _number
    return made.from_string(text)


def _number(value: float | None, digits: int = 2) -> str:
    """Return a figure as it is shown, with so many digits behind the point."""
    return "unknown" if value is None else f"{value:.{digits}f}"


def _difference(judgement: Judgement, other: Stored, title: str) -> dict:
    errors = judgement.errors
    names = np.char.decode(errors.names, "utf-8")
    mine = Stored(
        Path(title), names, judgement.groups, errors.squared, errors.nme, other.fingerprints, {}
    )
    found: Interval = compare_errors(mine, other)
    return {
        "says": say_difference("This model", other.folder.name, found),
        "better": found.excludes_zero and found.mean < 0,
        "worse": found.excludes_zero and found.mean > 0,
        **found._asdict(),
    }


def _cumulative(judgement: Judgement, background: Background, thresholds: Sequence[float]) -> str:
    nme = judgement.errors.nme
    curves = [("this model", nme, 1, False)]
    if background.other is not None:
        curves.append((background.other.folder.name, background.other.nme, 2, False))
    if judgement.mean_shape is not None:
        curves.append(("mean shape", judgement.mean_shape, 3, True))
    lines = []
    for name, values, colour, dashed in curves:
        values = np.sort(values[np.isfinite(values)])
        if not len(values):
            continue
        x = np.concatenate([[0], values, [max(values[-1], 10.0)]])
        y = np.concatenate([[0], np.arange(1, len(values) + 1) / len(values), [1]])
        keep = x <= CURVE_END
        lines.append(
            Line(
                name, np.append(x[keep], CURVE_END), np.append(y[keep], y[keep][-1]), colour, dashed
            )
        )
    says = "Cumulative error curve: share of the faces whose NME is at most the value of x."
    divided = "outer eye corners' distance" if judgement.layout.eyes else "root of the box's area"
    labels = f"NME: point error over the {divided}", "share of the faces"
    return line_chart(lines, labels, says, reach=(CURVE_END, 1.0), marks=thresholds)


def _mean_face(judgement: Judgement, outcome: Outcome) -> str:
    size = judgement.errors.size
    usable = np.flatnonzero(np.isfinite(size))
    if not len(usable):
        return ""
    some = usable[np.linspace(0, len(usable) - 1, min(len(usable), SHAPED)).astype(int)]
    total = np.zeros((judgement.layout.num_points, 2))
    count = np.zeros_like(total)
    for i in some.tolist():
        points = np.asarray(judgement.faces.points[i], np.float64)
        shape = (points - np.nanmean(points, axis=0)) / size[i]
        total += np.nan_to_num(shape)
        count += np.isfinite(shape)
        if i % FORGOTTEN == 0:
            forget_pages(judgement.faces.points)
    places = total / np.where(count > 0, count, np.nan)
    errors = np.array([row["mean"] for row in outcome.by_point], float)
    bias = np.nan_to_num(judgement.errors.bias / np.median(size[usable]))
    says = (
        "The mean face, each point coloured by its mean error; arrows show in which direction, "
        f"{MAGNIFIED:g} times as far as predictions lie beside the labels on average."
    )
    return mean_face(places, errors, bias, MAGNIFIED, says)


def _learning(history: Sequence[Mapping[str, float]]) -> dict:
    """Return charts by name, and in sentences which epochs were cut short."""
    if len(history) < 2:  # one point is no curve
        return {"charts": {}, "cut": []}
    cut = [
        f"max_time ended epoch {row['epoch']:.0f} after {row['epoch_share']:.0%} of its batches."
        for row in history
        if "epoch_share" in row
    ]
    epochs = np.array([row["epoch"] for row in history], float)
    charts = {}
    for key, title in (("val_mse", "validation MSE, px²"), ("train_loss", "training loss")):
        values = np.array([row.get(key, np.nan) for row in history], float)
        lines = [Line(title, epochs, values)]
        says = f"Learning curve: {title} after each of {len(history)} epochs."
        is_log = bool((values > 0).all())
        charts[key] = line_chart(lines, ("epoch", title), says, is_log=is_log, counts=True)
    return {"charts": charts, "cut": cut}


def _calibration(metrics: dict) -> dict[str, str]:
    found = metrics.get("calibration")
    if found is None:
        return {}
    bins, faces = found["points"]["bins"], found["faces"]
    sure = np.array([part["confidence"] for part in bins])
    points = line_chart(
        [
            Line("mean error", sure, np.array([part["error"] for part in bins]), 1),
            Line("90 % within", sure, np.array([part["p90"] for part in bins]), 2, True),
        ],
        ("confidence", "point error, px"),
        "Error of points against the model's confidence.",
    )
    share = np.array(faces["left_out"])
    curve = line_chart(
        [
            Line("least sure left out", share, np.array(faces["error"]), 1),
            Line("best possible", share, np.array(faces["best_error"]), 3, True),
        ],
        ("share of the faces left out", "mean error of the rest, px"),
        "Sparsification: the mean error of the faces that are left.",
    )
    return {"points": points, "faces": curve}
