"""Where a model fails: the error of faces that have something in common."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from landmarks.evaluation.bootstrap import mean_interval
from landmarks.evaluation.face_errors import FaceErrors

PARTS = 4  # of faces by size, brightness, ...: as many in each
TURNS = (-90, -30, -15, 15, 30, 90)  # degrees between which faces are taken together
MOST_KINDS = 12  # values of a column that are shown
OTHERS, UNKNOWN = "(others)", "(unknown)"


def cut_evenly(values: np.ndarray, unit: str = "") -> np.ndarray:
    """Return a text (N,) for each face: which quarter of the faces its value lies in."""
    known = np.isfinite(values)
    edges = (
        np.unique(np.quantile(values[known], np.linspace(0, 1, PARTS + 1))) if known.any() else []
    )
    if len(edges) < 2:
        return np.where(known, "all", UNKNOWN)
    return _name_parts(values, np.asarray(edges), unit)


def cut_turns(degrees: np.ndarray) -> np.ndarray:
    """Return a text (N,) for each face: how far it is turned."""
    return _name_parts(np.clip(degrees, TURNS[0], TURNS[-1]), np.array(TURNS, float), "°")


def cut_share_outside(share: np.ndarray) -> np.ndarray:
    """Return a text (N,) for each face: does it reach over the image's edge?"""
    texts = np.select([share == 0, share <= 0.05], ["none", "up to 5 %"], "more than 5 %")
    return np.where(np.isfinite(share), texts, UNKNOWN)


def name_kinds(texts: list[str]) -> np.ndarray:
    """Return a column's texts (N,) as slices: numbers of many values are cut, rare texts joined."""
    numbers = np.array([_number(text) for text in texts])
    empty = np.array([not text for text in texts])
    if len(set(texts)) > MOST_KINDS and np.isfinite(numbers[~empty]).all():
        return cut_evenly(numbers)
    kinds, counts = np.unique(texts, return_counts=True)
    shown = kinds[np.argsort(-counts, kind="stable")][:MOST_KINDS]
    kept = np.array(texts, object)
    kept[~np.isin(texts, shown)] = OTHERS
    kept[empty] = UNKNOWN
    return kept.astype(str)


def measure_slice(name: str, labels: np.ndarray, errors: FaceErrors, groups: np.ndarray) -> dict:
    """Return a slice as plain data: for each label, in order, its faces' errors.

    Args:
        labels: (N,) texts.
        groups: (N,), see `landmarks.evaluation.bootstrap`.
    """
    return {"name": name, "parts": list(_parts(labels, errors, groups))}


def _parts(labels: np.ndarray, errors: FaceErrors, groups: np.ndarray) -> Iterator[dict]:
    kinds = np.unique(labels)
    for label in sorted(kinds.tolist(), key=_order):
        inside = (labels == label) & errors.judged
        if not inside.any():
            continue
        interval = mean_interval(errors.squared[inside], groups[inside])
        nme = errors.nme[inside]
        yield {
            "label": label.partition("\t")[2] or label,
            "faces": int(inside.sum()),
            "mse": interval.mean,
            "mse_low": interval.low,
            "mse_high": interval.high,
            "nme": float(np.nanmean(nme)) if np.isfinite(nme).any() else None,
        }


def _name_parts(values: np.ndarray, edges: np.ndarray, unit: str) -> np.ndarray:
    part = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    digits = 0 if np.ptp(edges) >= 20 else 2
    # The number before the TAB keeps them in order.
    names = [
        f"{i}\t{low:.{digits}f} to {high:.{digits}f}{unit}"
        for i, (low, high) in enumerate(pairwise(edges))
    ]
    return np.where(np.isfinite(values), np.array(names)[part], UNKNOWN)


def _order(label: str) -> tuple:
    number, tab, _ = label.partition("\t")
    last = label in (OTHERS, UNKNOWN)
    return last, (int(number) if tab else 0), label


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan
