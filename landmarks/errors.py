"""What the user got wrong, in one sentence."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
MAX_SAID = 200  # characters of a value in a message


class UserError(Exception):
    """Wrong input: one sentence that says what is wrong, where, and what to do.

    Attributes:
        code: the exit code of the command that it ends; 2: its command line was wrong.
    """

    code = 1

    def __init__(self, sentence: str = ""):
        # What a damaged file holds may be quoted in it, and stays in one line.
        super().__init__(CONTROL.sub(lambda it: it[0].encode("unicode_escape").decode(), sentence))


class UnreadableImages(UserError):
    """Images that are missing or cannot be decoded.

    Attributes:
        paths: of their files.
    """

    def __init__(self, sentence: str, paths: list[str]):
        super().__init__(sentence)
        self.paths = paths


def say_count(count: int, noun: str) -> str:
    """Return "1 face", "2 faces", "3 processes", "4 boxes"."""
    several = f"{noun}es" if noun.endswith(("s", "x")) else f"{noun}s"
    return f"{count} {noun if count == 1 else several}"


def say_some(values: Iterable, count: int) -> str:
    """Return the first `count` values, "a, b, c, ..." where there are more; a long one is cut."""
    texts = [str(value) for value in islice(values, count + 1)]
    cut = [text if len(text) <= MAX_SAID else f"{text[:MAX_SAID]}..." for text in texts[:count]]
    return ", ".join([*cut, "..."] if len(texts) > count else cut)


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """Return the choice that looks most like `word`, or None where none does."""
    return next(iter(get_close_matches(word, list(choices), n=1, cutoff=0.5)), None)


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the choice nearest to `word`, or "" where none is near."""
    near = nearest(word, choices)
    return f" Did you mean '{near}'?" if near else ""
