"""Decimal numbers in a text, thousands at once: eight characters of each are one whole number.

A text is an array of its bytes. Arithmetic on 64 bits treats eight characters side by side, so that
numpy parses a number in the time that it takes to add a few.
"""

import numpy as np
from numpy.lib.stride_tricks import as_strided

PAD = 16  # bytes that must stand before the first field
WORD = np.uint64
CHARACTERS = 8  # of a word, the first one in its lowest byte
ALL = (1 << 64) - 1


def _repeat(byte: int) -> np.uint64:
    return WORD(byte * (ALL // 255))


ZEROS, ONES, HIGH = _repeat(ord("0")), _repeat(1), _repeat(0x80)
DOT = ord(".") ^ ord("0")
DOTS = _repeat(DOT)
ABOVE_NINE = _repeat(0x80 - 10)  # added to more than 9, it sets the high bit
PAIRS, FIRST, SECOND = WORD(0x000000FF000000FF), WORD(100 + (10**6 << 32)), WORD(1 + (10**4 << 32))
KEPT = np.array([ALL << 8 * (8 - n) & ALL for n in range(9)], WORD)  # the last n characters
# A dot's bit, 1 << 8 * i, times this has i + 1 in its highest four bits; no dot has 0.
PLACES = WORD(sum((i + 1) << (60 - 8 * i) for i in range(CHARACTERS)))
BEHIND = np.array([1.0] + [10.0 ** (7 - i) for i in range(8)])  # 10 to the number of digits there
BEHIND_HIGH = BEHIND * np.array([1.0] + [1e8] * 8)  # of the dot in the first of two words
WEIGHTS = np.array([10**8] + [10**7] * 8, WORD)  # of the word before one with a dot, or without
MAX_EXACT = WORD(
    1 << 53
)  # whole numbers up to it, and powers of ten, are exact: so is the quotient


def parse_decimals(
    text: np.ndarray, befores: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers (n,) float32 of n fields, NaN where empty, and which (k,) are left over.

    Args:
        text: (L,) uint8; PAD bytes stand before the first field.
        befores, ends: (n,) int64, of the signs before each field and behind it.

    Read are digits with at most one minus before them and one point, 16 characters without the sign
    and about 15 digits. They are rounded as `float` and a cast round them. Other fields are left
    over, whatever stands there.
    """
    counts = ends - befores
    counts -= 1
    num_long = np.count_nonzero(counts > CHARACTERS)
    if 2 * num_long > len(counts):
        values, left = np.empty(len(counts), np.float32), np.arange(len(counts))
    else:
        values, are_left = _parse_short(text, ends, counts)
        left = np.flatnonzero(are_left | (counts > CHARACTERS) if num_long else are_left)
    if len(left):
        values[left], are_odd = _parse_long(text, befores[left], ends[left])
        left = left[are_odd]
    are_empty = counts == 0
    if are_empty.any():
        values[are_empty] = np.nan
        left = left[~are_empty[left]]
    return values, left


def _parse_short(
    text: np.ndarray, ends: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the values (n,) float32 of fields of up to 8 characters, and which are none."""
    words = _gather(text, ends, CHARACTERS)[:, 0]
    words ^= ZEROS
    words &= KEPT.take(counts, mode="clip")
    # Mostly all points stand at one place, that of the first, which spares looking for each.
    dots = words[:1].tobytes().find(DOT) + 1
    behind = BEHIND[dots]
    whole, are_odd = _drop_points(words, dots - 1) if dots else (words.copy(), False)
    are_odd |= _have_others(whole)
    if 8 * np.count_nonzero(are_odd) <= len(words):
        _join_digits(whole)
    else:
        whole, dots, are_odd = _parse_words(words)
        behind = BEHIND.take(dots, mode="clip")
    values = np.empty(len(words), np.float32)
    np.divide(whole, behind, out=values, casting="same_kind")
    are_odd |= (counts == 1) & (dots > 0)  # a point alone
    return values, are_odd


def _parse_long(
    text: np.ndarray, befores: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the values (n,) float32 of fields of up to 16 characters, and which are none."""
    are_signed = text[befores + 1] == ord("-")
    counts = ends - befores - 1 - are_signed
    windows = _gather(text, ends, 2 * CHARACTERS) ^ ZEROS
    high = windows[:, 0] & KEPT.take(counts - CHARACTERS, mode="clip")
    low = windows[:, 1] & KEPT.take(counts, mode="clip")
    high, high_dots, are_odd = _parse_words(high)
    low, low_dots, are_low_odd = _parse_words(low)
    high *= WEIGHTS.take(low_dots, mode="clip")
    high += low
    behind = BEHIND.take(low_dots, mode="clip")
    behind *= BEHIND_HIGH.take(high_dots, mode="clip")
    values = (high / behind).astype(np.float32)
    num_dots = (high_dots > 0).astype(np.int64) + (low_dots > 0)
    are_odd |= are_low_odd | (
        (num_dots > 1) | (high > MAX_EXACT) | (counts > 2 * CHARACTERS) | (counts <= num_dots)
    )
    np.negative(values, out=values, where=are_signed)
    return values, are_odd


def _gather(text: np.ndarray, ends: np.ndarray, size: int) -> np.ndarray:
    """Return the `size` characters before each end, (n, size / 8) words."""
    windows = as_strided(text[:size].view(f"V{size}"), (len(text) - size + 1,), (1,))
    return windows[ends - size].view(WORD).reshape(len(ends), size // CHARACTERS)


def _parse_words(words: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the whole numbers of words (n,), leaving out their points; the points' places from 1,
    0 without one; and (n,) bool: is a word no number? The words are overwritten.

    Args:
        words: characters XOR "0", the last one in the highest byte; 0 where there is none.
    """
    spare = words ^ DOTS
    dots = spare - ONES
    np.invert(spare, out=spare)
    dots &= spare
    dots &= HIGH
    dots >>= WORD(7)  # 1 in a byte that is a point
    np.minimum(dots, WORD(1), out=spare)
    np.subtract(dots, spare, out=spare)  # all bits of the characters before the point
    are_odd = (dots & spare) > 0  # for a second point
    before = words & spare
    words ^= before
    np.multiply(dots, WORD(255), out=spare)
    np.invert(spare, out=spare)
    words &= spare
    before <<= WORD(8)
    words |= before  # the point is gone
    are_odd |= _have_others(words)
    dots *= PLACES
    dots >>= WORD(60)
    _join_digits(words)
    return words, dots.view(np.int64), are_odd


def _drop_points(words: np.ndarray, place: int) -> tuple[np.ndarray, np.ndarray]:
    """Return words (n,) without the character at one place, and (n,) bool: was it no point?"""
    whole = words ^ WORD(DOT << 8 * place)
    are_odd = (whole & WORD(0xFF << 8 * place)) > 0
    before = whole & WORD((1 << 8 * place) - 1)
    before *= WORD(255)
    whole += before  # what stood before the point is moved to it
    return whole, are_odd


def _have_others(words: np.ndarray) -> np.ndarray:
    """Return (n,) bool: has a word (n,) a character that is no digit?"""
    found = words + ABOVE_NINE
    found |= words
    found &= HIGH
    return found > 0


def _join_digits(words: np.ndarray) -> None:
    """Turn words of eight digits into their numbers: those of two, of four, of eight."""
    spare = words >> WORD(8)
    words *= WORD(10)
    words += spare
    np.right_shift(words, WORD(16), out=spare)
    words &= PAIRS
    spare &= PAIRS
    words *= FIRST
    spare *= SECOND
    words += spare
    words >>= WORD(32)
