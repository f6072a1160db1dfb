"""Charts and faces of the report, as SVG text: they scale, print, follow light and dark."""

import base64
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import cv2
import numpy as np

from landmarks.data.images.decoding import read_image
from landmarks.evaluation.write_evaluation import Judgement

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 24, 12, 44
MOST = 300  # places of a line
FACE = 420  # width of the mean face
# From small to large: dark blue, green, yellow, red; seen on white and on black.
COLOURS = np.array([[59, 82, 170], [33, 145, 140], [122, 190, 70], [240, 190, 40], [214, 60, 50]])
SIDE = 320  # pixels of a photo's longer side
AROUND = 0.18  # of the points' box, shown at every side
QUALITY = 82


class Line(NamedTuple):
    """A line of a chart: its name, places (n,) and (n,), one of the page's colours, 1 to 4."""

    name: str
    x: np.ndarray
    y: np.ndarray
    colour: int = 1
    dashed: bool = False


def line_chart(
    lines: Sequence[Line],
    labels: tuple[str, str],
    says: str,
    *,
    reach: tuple[float | None, float | None] = (None, None),
    is_log: bool = False,
    counts: bool = False,
    marks: Sequence[float] = (),
) -> str:
    """Return a chart of lines.

    Args:
        labels: of x and y.
        says: what the chart shows, for who cannot see it.
        reach: the largest x and y; None: of the lines.
        is_log: y on a logarithmic scale.
        counts: x are whole numbers.
        marks: x of vertical lines.
    """
    kept = [line for line in lines if np.isfinite(line.y).any()]
    if not kept:
        return ""
    x_low, x_high = _reach([line.x for line in kept], reach[0])
    y_low, y_high = _reach([line.y for line in kept], reach[1], is_log)

    def across(x):
        return LEFT + (np.asarray(x) - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)

    def down(y):
        low, high, y = (np.log(v) if is_log else v for v in (y_low, y_high, np.asarray(y, float)))
        return HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [_start(WIDTH, HEIGHT, says)]
    for value in ticks(y_low, y_high, is_log):
        at = float(down(value))
        parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(_text("tick", LEFT - 6, at + 4, f"{value:g}", "end"))
    for value in ticks(x_low, x_high):
        if counts and value % 1:
            continue
        at = float(across(value))
        parts.append(_text("tick", at, HEIGHT - BOTTOM + 18, f"{value:g}"))
    for value in marks:
        if x_low <= value <= x_high:
            at = float(across(value))
            parts.append(f'<path class="mark" d="M{at:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
    for line in kept:
        chosen = np.unique(np.linspace(0, len(line.x) - 1, min(len(line.x), MOST)).astype(int))
        x, y = np.asarray(line.x, float)[chosen], np.asarray(line.y, float)[chosen]
        shown = np.isfinite(y) & (x <= x_high) & ((y > 0) | (not is_log))
        pairs = zip(across(x[shown]), down(np.clip(y[shown], y_low, y_high)), strict=True)
        path = "L".join(f"{a:.1f} {b:.1f}" for a, b in pairs)
        dashed = " dashed" if line.dashed else ""
        parts.append(f'<path class="line c{line.colour}{dashed}" d="M{path}"/>')
        if shown.sum() == 1:
            parts.append(_dot(float(across(x[shown][0])), float(down(y[shown][0])), line.colour))
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
    parts.append(_text("label", middle, HEIGHT - 6, labels[0]))
    high = TOP + (HEIGHT - TOP - BOTTOM) / 2
    parts.append(
        f'<text class="label" transform="translate(13 {high}) rotate(-90)" text-anchor="middle">'
        f"{escape(labels[1])}</text>"
    )
    return "".join([*parts, "</svg>", _legend(kept)])


def mean_face(
    places: np.ndarray, errors: np.ndarray, bias: np.ndarray, magnify: float, says: str
) -> str:
    """Return a face of K points, coloured by their error, with arrows of their bias.

    Args:
        places: (K, 2), of the mean face, any unit.
        errors: (K,) in pixels.
        bias: (K, 2) in the unit of places.
        magnify: how many times their length arrows have.
    """
    known = np.isfinite(places).all(1) & np.isfinite(errors)
    places, errors, bias = places[known], errors[known], bias[known]
    low, high = places.min(0), places.max(0)
    scale = (FACE - 40) / max(high[0] - low[0], 1e-9)
    height = int((high[1] - low[1]) * scale + 40)
    at = (places - low) * scale + 20
    tips = at + bias * scale * magnify
    colours, (least, most) = paint(errors)
    radius = 2.2 if len(at) > 200 else 5
    step = max(1, len(at) // 240)  # of many points some have arrows
    parts = [_start(FACE, height, says)]
    for (x, y), (u, v) in list(zip(at, tips, strict=True))[::step]:
        parts.append(f'<path class="arrow" d="M{x:.1f} {y:.1f}L{u:.1f} {v:.1f}"/>')
    for (x, y), colour in zip(at, colours, strict=True):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>')
    stops = "".join(
        f'<span style="background:{colour}"></span>' for colour in paint(np.linspace(0, 1, 24))[0]
    )
    scale_bar = f'<p class="scale">{least:.2g} px <i>{stops}</i> {most:.2g} px</p>'
    return "".join([*parts, "</svg>", scale_bar])


def paint(values: np.ndarray) -> tuple[list[str], tuple[float, float]]:
    """Return a colour for each of the values (n,), and the values of the first and last colour."""
    low, high = (float(v) for v in np.quantile(values, [0.02, 0.98]))
    place = np.clip((values - low) / max(high - low, 1e-9), 0, 1) * (len(COLOURS) - 1)
    mixed = [np.interp(place, range(len(COLOURS)), COLOURS[:, i]) for i in range(3)]
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in np.stack(mixed, 1).astype(int)], (low, high)


def point_paths(points: np.ndarray) -> str:
    """Return the d of an SVG path that marks points (K, 2) by dots, a round line's caps."""
    shown = points[np.isfinite(points).all(1)]
    return "".join(f"M{x:.1f} {y:.1f}h0" for x, y in shown.tolist())


def ticks(low: float, high: float, is_log: bool = False) -> list[float]:
    """Return round numbers from low to high, about five."""
    if is_log:
        tens = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
        for digits in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
            found = [d * 10.0**ten for ten in tens for d in digits if low <= d * 10.0**ten <= high]
            if len(found) >= 3:
                return found
        return [float(f"{value:.2g}") for value in np.geomspace(low, high, 4)]
    raw = (high - low) / 5
    ten = 10.0 ** np.floor(np.log10(raw))
    step = next(m * ten for m in (1, 2, 2.5, 5, 10) if m * ten >= raw * 0.999)
    first, last = int(np.ceil(low / step)), int(high / step + 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def _reach(values: list, most: float | None, is_log: bool = False) -> tuple[float, float]:
    every = np.concatenate([np.asarray(v, float) for v in values])
    every = every[np.isfinite(every) & ((every > 0) | (not is_log))]
    low, high = (float(every.min()), float(every.max())) if len(every) else (1.0, 2.0)
    high = high if most is None else most
    if is_log:
        return low / 1.1, max(high * 1.1, low * 1.5)
    low = min(low, 0.0) if low > 0.0 and low < 0.5 * high else low
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _start(width: int, height: int, says: str) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(says)}" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{escape(says)}</title>'
    )


def _text(kind: str, x: float, y: float, text: str, anchor: str = "middle") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _dot(x: float, y: float, colour: int) -> str:
    return f'<circle class="c{colour} dot" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'


def _legend(lines: Sequence[Line]) -> str:
    if len(lines) < 2:
        return ""
    items = "".join(
        f'<li class="c{line.colour}{" dashed" if line.dashed else ""}">{escape(line.name)}</li>'
        for line in lines
    )
    return f'<ul class="legend">{items}</ul>'


def show_face(judgement: Judgement, place: int) -> dict | None:
    """Return what the report shows of a face; None where its image cannot be read.

    Args:
        place: among the judged faces.
    """
    faces, errors = judgement.faces, judgement.errors
    image = read_image(faces.path(place), exif=faces.exif)
    if image is None:
        return None
    truth = np.array(faces.points[place], np.float64)
    predicted = np.array(judgement.predicted[judgement.at[place]], np.float64)
    both = np.concatenate([truth, predicted])
    low, high = np.nanmin(both, axis=0), np.nanmax(both, axis=0)
    pad = AROUND * (high - low).max()
    height, width = image.shape[:2]
    left, top = np.clip(np.floor(low - pad), 0, [width - 2, height - 2]).astype(int).tolist()
    right, bottom = (
        np.clip(np.ceil(high + pad) + 1, [left + 2, top + 2], [width, height]).astype(int).tolist()
    )
    cut = image[top:bottom, left:right]
    scale = SIDE / max(cut.shape[:2])
    size = [max(1, round(side * scale)) for side in (cut.shape[1], cut.shape[0])]
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    shown = cv2.resize(cut, size, interpolation=way)
    _, coded = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    scales = np.array(size) / [cut.shape[1], cut.shape[0]]

    def moved(points: np.ndarray) -> str:
        return point_paths((points - [left, top] + 0.5) * scales)

    return {
        "name": faces.name(place),
        "mse": float(errors.squared[place]),
        "nme": float(errors.nme[place]),
        "jpeg": base64.b64encode(coded.tobytes()).decode(),
        "width": size[0],
        "height": size[1],
        "truth": moved(truth),
        "predicted": moved(predicted),
        "stroke": 2.0 if len(truth) > 200 else 4.5,
    }


def choose_faces(squared: np.ndarray, counts: dict[str, int]) -> dict[str, list[int]]:
    """Return the places of the worst, the median and the best faces, as many as `counts` says."""
    order = np.argsort(-np.where(np.isfinite(squared), squared, -np.inf), kind="stable")
    order = order[: int(np.isfinite(squared).sum())].tolist()
    chosen: dict[str, list[int]] = {}
    taken: set[int] = set()
    middle = max(0, len(order) // 2 - counts["median"] // 2)
    ranges = {"worst": order, "best": order[::-1], "median": order[middle:]}
    for kind in ("worst", "best", "median"):
        chosen[kind] = [i for i in ranges[kind] if i not in taken][: counts[kind]]
        taken.update(chosen[kind])
    return {kind: chosen[kind] for kind in ("worst", "median", "best")}
