"""Which part of a data set a file is of, by the words in its name."""

import re
from pathlib import PurePath
from typing import Literal

LETTERS = re.compile(r"[^\W\d_]+")
CASES = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")  # faceTest, WFLWTest
OF = "(set|data|images|labels)?"
TRAIN = re.compile(rf"(train|training|trainval){OF}")
VALIDATION = "val|valid|validation|eval|evaluation"
TEST = re.compile(rf"(test|tests|testing|{VALIDATION}){OF}")


def words_of(name: str) -> set[str]:
    """Return the words of a name, lower case: what anything but letters, or a capital, parts."""
    runs = LETTERS.findall(name)
    return {word.lower() for run in runs for word in (run, *CASES.split(run))}


def part_of(path: PurePath) -> Literal["train", "test", ""]:
    """Return which part's a file is by its name, else by that of the nearest folder; "" where none
    says so.

    A word counts whole: latest.csv and contest.json are not of test faces. A name with words of
    both, such as train_val.json, is of training faces.

    Args:
        path: from the data set's folder, whose own name says nothing of its files.
    """
    for name in (path.stem, *(folder.name for folder in path.parents)):
        words = words_of(name)
        if any(map(TRAIN.fullmatch, words)):
            return "train"
        if any(map(TEST.fullmatch, words)):
            return "test"
    return ""


def is_of_validation(path: PurePath) -> bool:
    """Say whether a file of test faces, see `part_of`, is of validation faces by a word of its name
    or of its folders'."""
    words = set().union(*map(words_of, (*path.parent.parts, path.stem)))
    return any(re.fullmatch(f"({VALIDATION}){OF}", word) for word in words)
