"""Tables of a model's errors: by face, by point, by region; and errors.npz."""

import csv
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from landmarks.evaluation.face_errors import (
    BLOCK,
    FaceErrors,
    columns_of,
    forget_pages,
    point_columns,
    row_blocks,
    sorted_quantiles,
)
from landmarks.files import replacing
from landmarks.layout import Layout

NO_REGION = "(none)"


def point_table(errors: FaceErrors, layout: Layout) -> list[dict]:
    """Return a row a point, in order: its errors in original pixels, over faces with its label."""
    regions = region_of_points(layout)
    rows = []
    for part, columns in point_columns(errors.distance):
        known = ~np.isnan(columns)
        counts, totals = known.sum(1), np.where(known, columns, 0).sum(1, dtype=np.float64)
        quantiles = sorted_quantiles(columns, [0.5, 0.9])
        for i, point in enumerate(range(part.start, part.stop)):
            mean = totals[i] / counts[i] if counts[i] else np.nan
            rows.append(
                {
                    "point": point,
                    "region": regions[point],
                    "n": int(counts[i]),
                    "mean": float(mean),
                    "median": float(quantiles[i, 0]),
                    "p90": float(quantiles[i, 1]),
                    "bias_x": float(errors.bias[point, 0]),
                    "bias_y": float(errors.bias[point, 1]),
                }
            )
    return rows


def region_table(errors: FaceErrors, layout: Layout) -> list[dict]:
    """Return a row a region: errors of its points, and its share of the squared error of all."""
    regions = np.array(region_of_points(layout))
    whole = sum(_squares(block) for _, block in row_blocks(errors.distance))
    rows = []
    for name in dict.fromkeys(regions.tolist()):
        points = np.flatnonzero(regions == name)
        values = columns_of(errors.distance, points).ravel()
        known = int((~np.isnan(values)).sum())
        total = np.nansum(values, dtype=np.float64)
        squares = _squares(values)
        quantiles = sorted_quantiles(values, [0.5, 0.9])
        rows.append(
            {
                "region": name,
                "points": len(points),
                "n": known,
                "mean": float(total / known) if known else np.nan,
                "median": float(quantiles[0]),
                "p90": float(quantiles[1]),
                "mse": float(squares / 2 / known) if known else np.nan,
                "share": float(squares / whole) if whole else np.nan,
            }
        )
    return rows


def _squares(values: np.ndarray) -> float:
    flat = values.reshape(-1)
    chunks = (flat[i : i + (1 << 22)] for i in range(0, len(flat), 1 << 22))
    return float(sum(np.nansum(chunk.astype(np.float64) ** 2) for chunk in chunks))


def face_rows(errors: FaceErrors, extra: dict[str, np.ndarray] | None = None) -> Iterator[dict]:
    """Yield a row a face that has labels, worst first.

    Args:
        extra: further columns, (N,) each.
    """
    order = np.argsort(-np.where(errors.judged, errors.squared, -np.inf), kind="stable")
    for place, i in enumerate(order[: int(errors.judged.sum())].tolist()):
        if place % BLOCK == 0:
            forget_pages(errors.distance)
        far = errors.distance[i]
        worst = int(np.nanargmax(far))
        yield {
            "file_name": errors.names[i].decode(),
            "row": int(errors.rows[i]),
            "mse": float(errors.squared[i]),
            "nme": float(errors.nme[i]),
            "mean": float(errors.mean[i]),
            "labelled": int((~np.isnan(far)).sum()),
            "worst_point": worst,
            "worst_error": float(far[worst]),
            "size": float(errors.size[i]),
            **{key: values[i] for key, values in (extra or {}).items()},
        }


def region_of_points(layout: Layout) -> list[str]:
    """Return each point's region by name; the first of several, "(none)" of none."""
    names = [NO_REGION] * layout.num_points
    for name, (first, last) in reversed(layout.regions.items()):
        names[first : last + 1] = [name] * (last + 1 - first)
    return names


def write_table(path: Path, rows: Iterable[dict]) -> None:
    """Write rows of one kind as a CSV, in one piece; a number that is not known is left empty."""
    rows = iter(rows)
    first = next(rows, None)
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        if first is not None:
            table.writerow(first)
            table.writerow(map(_cell, first.values()))
        for row in rows:
            table.writerow(map(_cell, row.values()))


def _cell(value: object) -> object:
    if isinstance(value, float | np.floating):
        return f"{value:.6g}" if np.isfinite(value) else ""
    return value


def save_errors(
    path: Path, errors: FaceErrors, groups: np.ndarray, fingerprints: Sequence[str]
) -> None:
    """Write errors.npz: what `landmarks compare` reads.

    names (N,), rows, groups, squared, nme (N,), distance (N, K) float32, fingerprint (1,) or (2,)
    of the labels, see `landmarks.evaluation.metrics_json.fingerprints_of`.
    """
    arrays = {
        "names": np.char.decode(errors.names, "utf-8"),
        "rows": errors.rows,
        "groups": groups,
        "squared": errors.squared,
        "nme": errors.nme,
        "fingerprint": np.array(fingerprints),
    }
    with replacing(path) as part, zipfile.ZipFile(part, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
        with archive.open("distance.npy", "w", force_zip64=True) as file:
            header = np.lib.format.header_data_from_array_1_0(errors.distance)
            np.lib.format.write_array_header_1_0(file, header)
            for _, block in row_blocks(errors.distance):
                file.write(np.ascontiguousarray(block))
