"""The error of every point of every face, measured once; all other figures are made of these."""

import mmap
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from landmarks.files import reserve
from landmarks.metrics import face_size

BLOCK = 512  # faces measured at once
IN_MEMORY = 1 << 27  # bytes of a table of all points' errors; larger ones wait on the disk
INFINITE = 0x7F800000  # the bits of infinity in float32; those of NaN are larger
Blocks = Iterable[tuple[np.ndarray, np.ndarray, np.ndarray | None]]
KINDS = {"visible": 2, "occluded": 1}


class FaceErrors(NamedTuple):
    """Errors of N faces of K points in original pixels, NaN where there is no label.

    names (N,) bytes and rows (N,) int say which faces of the data set they are; squared (N,) is the
    mean squared error over labelled coordinates, rounded (N,) the same of predictions rounded to
    whole pixels; mean (N,) is the mean distance of a face's points; size (N,) what it is divided by
    for nme (N,); distance (N, K) float32; bias (K, 2) the mean offset of each point, predicted
    minus true; confidence (N, K) float32, None where the model gives none; pooled is the mean
    squared error over all labelled coordinates of all faces.
    """

    names: np.ndarray
    rows: np.ndarray
    squared: np.ndarray
    rounded: np.ndarray
    mean: np.ndarray
    size: np.ndarray
    nme: np.ndarray
    distance: np.ndarray
    bias: np.ndarray
    confidence: np.ndarray | None
    pooled: float = np.nan

    @property
    def judged(self) -> np.ndarray:
        """Which faces (N,) have a label at all."""
        return np.isfinite(self.squared)


def measure(
    blocks: Blocks,
    names: np.ndarray,
    rows: np.ndarray,
    num_points: int,
    eyes: list | None,
    scored_to: float | None = None,
    folder: Path | None = None,
) -> FaceErrors:
    """Return the errors of faces that come block by block, in order.

    Args:
        blocks: predicted (n, K, 2), true (n, K, 2), both in original pixels, and confidence (n, K)
            or None. A point that is NaN in either is not judged.
        names: (N,) bytes.
        rows: (N,).
        num_points: K.
        eyes: see `landmarks.metrics.normalized_error`.
        scored_to: predicted coordinates are clipped to 0 ... this before; None: they are not.
        folder: for a file without a name, which holds the errors of all points where they are many,
            until they are forgotten; None: memory does.
    """
    count = len(names)
    squared, rounded, mean, size = np.full((4, count), np.nan)
    distance, confidence = _table((count, num_points), folder), None
    moved, known = np.zeros((num_points, 2)), np.zeros((num_points, 2), int)
    done, total = 0, 0.0
    for predicted, truth, sure in blocks:
        here = slice(done, done + len(predicted))
        done += len(predicted)
        predicted = predicted.astype(np.float64)
        if scored_to is not None:
            predicted = np.clip(predicted, 0, scored_to)
        truth = truth.astype(np.float64)
        offset = predicted - truth
        there = ~np.isnan(offset)
        squares = offset**2
        distance[here] = np.sqrt(squares.sum(2))
        mean[here] = _mean_of_known(distance[here].astype(np.float64))
        size[here] = face_size(torch.from_numpy(_hide(truth, predicted)), eyes).numpy()
        squared[here] = _mean_of_known(squares.reshape(len(squares), -1))
        whole = ((np.rint(predicted) - truth) ** 2).reshape(len(squares), -1)
        rounded[here] = _mean_of_known(whole)
        moved += np.where(there, offset, 0).sum(0)
        known += there.sum(0)
        total += float(squares[there].sum())
        if sure is not None and np.isfinite(sure).any():
            if confidence is None:
                confidence = _table((count, num_points), folder)
            confidence[here] = np.where(np.isnan(distance[here]), np.nan, sure)
            forget_pages(confidence)
        forget_pages(distance)
    bias = np.where(known > 0, moved / np.maximum(known, 1), np.nan)
    pooled = total / known.sum() if known.any() else np.nan
    of_faces = squared, rounded, mean, size, mean / size
    return FaceErrors(names, rows, *of_faces, distance, bias, confidence, pooled)


def _table(shape: tuple[int, int], folder: Path | None) -> np.ndarray:
    """Return an array (N, K) float32 of NaN, mapped from a file without a name if it is large."""
    if folder is None or 4 * shape[0] * shape[1] <= IN_MEMORY:
        return np.full(shape, np.nan, np.float32)
    with tempfile.TemporaryFile(dir=folder) as file:
        table = np.memmap(file, np.float32, "w+", shape=shape)
        reserve(file)
    for _, block in row_blocks(table):
        block[:] = np.nan
    return table


def row_blocks(values: np.ndarray, count: int = BLOCK) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield slices of rows and the rows; what is mapped is forgotten behind them."""
    for start in range(0, len(values), count):
        some = slice(start, min(start + count, len(values)))
        yield some, values[some]
        forget_pages(values)


def columns_of(values: np.ndarray, columns: slice | np.ndarray) -> np.ndarray:
    """Return a copy (N, k) of some columns, see `row_blocks`."""
    found = np.empty((len(values), len(np.arange(values.shape[1])[columns])), values.dtype)
    for some, block in row_blocks(values):
        found[some] = block[:, columns]
    return found


def in_blocks(predicted: np.ndarray, truth: np.ndarray, at: np.ndarray, rows: np.ndarray) -> Blocks:
    """Yield blocks for `measure` from two arrays, which may be mapped: they never fill the memory.

    Args:
        predicted: (M, K, 2); at: (N,) which of them are wanted.
        truth: (L, K, 2); rows: (N,) which of them these are of.
    """
    for start in range(0, len(rows), BLOCK):
        some = slice(start, start + BLOCK)
        yield np.asarray(predicted[at[some]]), np.asarray(truth[rows[some]]), None
        for array in (predicted, truth):
            forget_pages(array)


def sorted_quantiles(values: np.ndarray, shares: list[float]) -> np.ndarray:
    """Return quantiles (..., n) of the finite values along the last axis, as `np.quantile` does.

    Args:
        values: sorted in place along the last axis; NaN stands last then.
        shares: n of them, 0 to 1.
    """
    values.sort(axis=-1)
    count = (~np.isnan(values)).sum(-1)
    place = np.maximum(count - 1, 0)[..., None] * np.array(shares)
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, np.maximum(count - 1, 0)[..., None])
    ends = [np.take_along_axis(values, i, axis=-1).astype(np.float64) for i in (low, high)]
    return ends[0] + (place - low) * (ends[1] - ends[0])


def pooled_quantiles(values: np.ndarray, shares: list[float]) -> np.ndarray:
    """Return quantiles (n,) of all finite values of (N, K) float32 >= 0, without a copy of them.

    A float's bits are in its own order where it is not negative: the values are counted by their
    upper halves, then the few halves that hold a wanted one by their lower halves.

    Args:
        shares: n of them, 0 to 1.
    """
    upper = np.zeros(1 << 16, np.int64)
    for _, block in row_blocks(values):
        bits = np.ascontiguousarray(block, np.float32).view(np.uint32).ravel()
        upper += np.bincount(bits >> 16, minlength=1 << 16)
    upper[INFINITE >> 16 :] = 0  # and what is no number
    count = int(upper.sum())
    if not count:
        return np.full(len(shares), np.nan)
    place = (count - 1) * np.array(shares)
    ranks = np.unique([np.floor(place), np.ceil(place)]).astype(np.int64)
    ends = np.cumsum(upper)
    halves = np.searchsorted(ends, ranks, side="right")
    lower = {int(half): np.zeros(1 << 16, np.int64) for half in halves}
    for _, block in row_blocks(values):
        bits = np.ascontiguousarray(block, np.float32).view(np.uint32).ravel()
        for half, counts in lower.items():
            inside = bits[bits >> 16 == half]
            counts += np.bincount(inside & 0xFFFF, minlength=1 << 16)
    found = np.empty(len(ranks))
    for i, (rank, half) in enumerate(zip(ranks.tolist(), halves.tolist(), strict=True)):
        rest = rank - (ends[half] - upper[half])
        low = int(np.searchsorted(np.cumsum(lower[half]), rest, side="right"))
        found[i] = np.array([(half << 16) | low], np.uint32).view(np.float32)[0]
    return np.interp(place, ranks, found)


def point_columns(distance: np.ndarray, width: int = 32) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield slices of the K points with copies (k, N) of their distances, few at a time."""
    for start in range(0, distance.shape[1], width):
        part = slice(start, min(start + width, distance.shape[1]))
        yield part, columns_of(distance, part).T.copy()


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Return the means (n,) of the rows of values (n, m) that are no NaN; of none: NaN."""
    missing = np.isnan(values)
    if not missing.any():
        return values.mean(1)
    count = values.shape[1] - missing.sum(1)
    total = np.where(missing, 0, values).sum(1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _hide(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    missing = np.isnan(predicted)
    return np.where(missing, np.nan, truth) if missing.any() else truth


def forget_pages(array: np.ndarray) -> None:
    """Let the system drop the pages of a mapped file that have been read: 100,000 faces fill GBs.

    They are read anew where they are needed again. Of other arrays nothing is dropped.
    """
    while isinstance(array, np.ndarray):
        mapped = getattr(array, "_mmap", None)
        if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)
            return
        array = array.base


def measure_visibility(errors: FaceErrors, visible: np.ndarray | None) -> list[dict]:
    """Return a row a kind of points: how many are judged, and their errors in original pixels.

    nme is the mean of their distances over the size of their face.

    Args:
        visible: (N, K) uint8 of the faces, see `landmarks.data.faces.Faces`; None: not known.
    """
    if visible is None:
        return []
    rows = []
    for name, code in KINDS.items():
        count, total, squares, shares, sized = 0, 0.0, 0.0, 0.0, 0
        for start in range(0, len(visible), BLOCK):
            some = slice(start, start + BLOCK)
            chosen = (np.asarray(visible[some]) == code) & ~np.isnan(errors.distance[some])
            far = errors.distance[some][chosen].astype(np.float64)
            share = far / np.broadcast_to(errors.size[some, None], chosen.shape)[chosen]
            known = np.isfinite(share)
            count, total, squares = count + len(far), total + far.sum(), squares + (far**2).sum()
            shares, sized = shares + share[known].sum(), sized + int(known.sum())
        rows.append(
            {
                "points": name,
                "n": count,
                "mean": total / count if count else np.nan,
                "mse": squares / 2 / count if count else np.nan,
                "nme": shares / sized if sized else np.nan,
            }
        )
    return rows
