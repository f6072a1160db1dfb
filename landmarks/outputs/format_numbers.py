"""Formats many numbers at once: Python's own formatting takes longer than a GPU's predictions."""

from collections.abc import Iterable

import numpy as np

MAX_VALUE = 1e7  # hundredths of larger values do not fit into 32 bits
BLOCK = 2**15  # values at once: what is made of them stays in the cache


def _tabulate(words: Iterable[str]) -> np.ndarray:
    """Return words of four characters as uint32 of the same bytes."""
    return np.frombuffer("".join(words).encode("ascii"), np.uint32)


# Spaces are removed at the end.
COMMA = _tabulate([",   ", ",-  "])  # and the sign
LOW = _tabulate([f"{i:4d}" for i in range(10_000)] + [f"{i:04d}" for i in range(10_000)])
HIGH = _tabulate(["    ", *(f"{i:4d}" for i in range(1, 10_000))])
HUNDREDTHS = _tabulate(f".{i:02d} " for i in range(100))


def format_rows(values: np.ndarray, rounded: bool, empty: np.ndarray | None = None) -> list[bytes]:
    """Return each row of values (n, m) in ASCII, a comma before each value.

    Args:
        values: float32, finite.
        rounded: "%d" of the nearest whole numbers, else "%.2f".
        empty: (m,) bool, columns whose values are left out after the comma; None: none.
    """
    empty = np.zeros(values.shape[1], bool) if empty is None else empty
    count = max(1, BLOCK // max(1, values.shape[1]))
    blocks = (values[first : first + count] for first in range(0, len(values), count))
    return [row for block in blocks for row in _format_block(block, rounded, empty)]


def _format_block(values: np.ndarray, rounded: bool, empty: np.ndarray) -> list[bytes]:
    if not (np.abs(values) < MAX_VALUE).all():
        return [_format_any(row, rounded, empty) for row in values.tolist()]
    # 24 bits times 7 are exact in float64; halves are rounded to even ones, as Python does.
    scaled = np.rint(values if rounded else values.astype(np.float64) * 100)
    is_minus = scaled < 0 if rounded else np.signbit(scaled)
    whole = np.abs(scaled).astype(np.uint32)
    words = []
    if not rounded:
        whole, rest = _divide(whole, 100)
        words = [HUNDREDTHS.take(rest)]
    high, low = _divide(whole, 10_000)
    if high.any():
        words = [HIGH.take(high), LOW.take(low + 10_000 * (high > 0)), *words]
    else:
        words = [LOW.take(low), *words]
    text = np.stack([COMMA.take(is_minus), *words], axis=2)
    text[:, empty, 0], text[:, empty, 1:] = COMMA[0], HIGH[0]
    return [row.tobytes().translate(None, b" ") for row in text]


def _divide(values: np.ndarray, divisor: int) -> tuple[np.ndarray, np.ndarray]:
    """Return quotients and remainders; `np.divmod` takes several times as long."""
    quotients = values // np.uint32(divisor)
    return quotients, values - np.uint32(divisor) * quotients


def _format_any(row: list[float], rounded: bool, empty: np.ndarray) -> bytes:
    words = [str(round(value)) if rounded else f"{value:.2f}" for value in row]
    return "".join(
        "," + word * (not void) for word, void in zip(words, empty, strict=True)
    ).encode()
