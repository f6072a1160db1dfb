"""Numbers parsed eight characters at a time: the same as Python's, or left over."""

import random
import re

import numpy as np
import pytest

from landmarks.data.tables.decimals import PAD, parse_decimals

PLAIN = re.compile(r"-?(\d+\.?\d*|\.\d+)", re.ASCII)


def parse(fields):
    text = b"\0" * (PAD - 1) + b"\n" + ",".join([*fields, ""]).encode(errors="surrogateescape")
    text = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(text == ord(","))
    values, left = parse_decimals(text, np.r_[PAD - 1, ends[:-1]], ends)
    return values, set(left.tolist())


def draw(rng, kind):
    value = rng.uniform(-400, 3000)
    if kind == "random":
        return "".join(rng.choices("0123456789.-e /:\xb2\u0663", k=rng.randint(0, 9)))
    if kind == "mixed":
        return rng.choice(["", repr(value), str(int(value)), f"{value:.{rng.randint(0, 12)}f}"])
    if kind == "short":
        return rng.choice(["", "1.5", "22.25", "333", ".5"])
    return f"{abs(value):.{kind}f}"


@pytest.mark.parametrize("kind", [0, 1, 2, 3, 6, 11, "mixed", "short", "random"])
def test_fields_are_numbers_exactly_as_float_has_them_or_left_over(kind):
    rng = random.Random(0)
    fields = [draw(rng, kind) for _ in range(5000)]
    values, left = parse(fields)
    for i, field in enumerate(fields):
        is_short = len(field.replace(".", "").lstrip("-")) <= 15 and len(field.lstrip("-")) <= 16
        if PLAIN.fullmatch(field) and is_short:
            assert i not in left and values[i] == np.float32(float(field)), field
        elif not field:
            assert i not in left and np.isnan(values[i])
        elif i not in left:
            assert PLAIN.fullmatch(field) and values[i] == np.float32(float(field)), field


@pytest.mark.parametrize("among", [[], ["1.5"] * 100, ["123456.123456"] * 100, ["7"] * 100])
def test_odd_fields_are_left_over_whatever_stands_beside_them(among):
    odd = [".", "-", "-.", "..", "1..2", "1.2.3", "1./2", "0/", "1:", "--1", "1-", "+5", "1e3"]
    odd += ["nan", " 1", "1 ", "1,5".replace(",", "\t"), "12345678901234567", "1234567890.12.3"]
    values, left = parse([*among, *odd])
    assert left == set(range(len(among), len(among) + len(odd)))
    even = {"": np.nan, "5.": 5, ".5": 0.5, "-5.": -5, "-.5": -0.5, "-0": -0.0, "007": 7}
    even |= {"9007199254740992": 2.0**53, "-123456.789012": -123456.789012}
    values, left = parse([*among, *even])
    assert not left
    assert np.array_equal(values[len(among) :], np.float32([*even.values()]), equal_nan=True)
    assert parse(["9007199254740993"])[1] == {0}  # beyond whole numbers that float64 has


def test_no_fields_are_no_numbers():
    none = np.zeros(0, np.int64)
    values, left = parse_decimals(np.zeros(PAD, np.uint8), none, none)
    assert len(values) == 0 and len(left) == 0
