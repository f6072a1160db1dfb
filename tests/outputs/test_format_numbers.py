"""Numbers as text are Python's, byte for byte."""

import numpy as np
import pytest

from landmarks.outputs.format_numbers import MAX_VALUE, format_rows

EDGES = [0.0, -0.0, 0.5, -0.5, 1.5, 2.5, 0.004, -0.004, 0.005, -0.006, 0.995, 9999.5, 9999.995]
EDGES += [10_000.0, -10_000.4, 99_999.9, MAX_VALUE - 1, MAX_VALUE, -1e9, 3e38]


def by_python(values, rounded):
    pattern = ",%d" if rounded else ",%.2f"
    values = np.rint(values) if rounded else values
    return ["".join(pattern % v for v in row).encode() for row in values.tolist()]


def random_bits(count=20_000):
    bits = np.random.default_rng(0).integers(0, 2**32, count, dtype=np.uint32).view(np.float32)
    return bits[np.isfinite(bits)]


@pytest.mark.parametrize("rounded", [True, False])
@pytest.mark.parametrize("most", [260, 9999, 1e6, 1e38])
def test_they_are_pythons(rounded, most):
    random = np.random.default_rng(1)
    values = [
        random.uniform(-0.02 * min(most, 1e6), min(most, 1e6), 4000),
        random.integers(-1000, 50_000, 4000) / 200,  # halves of hundredths, as nearly as can be
        random.integers(-9, 500, 4000) / 8,
        *(part[np.abs(part) < most][:4000] for part in (random_bits(), np.array(EDGES))),
    ]
    for some in values:
        rows = some[: len(some) // 2 * 2].astype(np.float32).reshape(2, -1)
        assert format_rows(rows, rounded) == by_python(rows, rounded)


@pytest.mark.parametrize("rounded", [True, False])
@pytest.mark.parametrize("most", [1.0, 1e6, 1e9])
def test_columns_can_be_empty(rounded, most):
    values = most * np.array([[1.0, -0.9, 0.7], [-0.4, -0.5, 0.25]], np.float32)
    expected = [row.split(b",") for row in by_python(values, rounded)]
    found = format_rows(values, rounded, np.array([False, True, False]))
    assert found == [b",".join([b"", first, b"", last]) for _, first, _, last in expected]


def test_of_nothing_there_is_nothing():
    assert format_rows(np.zeros((2, 0), np.float32), True) == [b"", b""]
    assert format_rows(np.zeros((0, 4), np.float32), False) == []
