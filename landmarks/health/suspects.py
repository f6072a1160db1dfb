"""Suspects: which face, why, and how bad it is; and suspects.csv."""

import csv
from pathlib import Path
from typing import NamedTuple

from landmarks.files import replacing

ERRORS = (
    "missing",
    "corrupt",
    "duplicate",
    "same-labels",
    "degenerate",
    "off-image",
    "swapped",
    "jittered",
    "misplaced",
    "shifted",
    "no-box",
)
WARNINGS = (
    "near-duplicate",
    "perhaps-shifted",
    "shape-outlier",
    "outside",
    "odd-size",
    "unlabelled",
    "few-bits",
    "model-swapped",
    "model-jittered",
    "model-shifted",
    "model-other-face",
)
COLUMNS = ("name", "reason", "score", "level", "part", "detail")


class Finding(NamedTuple):
    """A face and what is wrong with it.

    score: how many times over the limit, 1 being just over it, so that reasons can be compared;
    detail: the same in the reason's own units, for people.
    """

    row: int
    name: str
    reason: str
    score: float
    part: str = "train"
    detail: str = ""

    @property
    def level(self) -> str:
        """ "error" or "warning"."""
        return "error" if self.reason in ERRORS else "warning"


def worst_first(findings: list[Finding]) -> list[Finding]:
    """Return errors before warnings, and of each the highest score first."""
    return sorted(findings, key=lambda f: (f.level != "error", -f.score, f.part, f.name))


def write_suspects(path: Path, findings: list[Finding]) -> None:
    """Write suspects.csv, worst first, in one piece; `data.exclude` reads it."""
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for f in worst_first(findings):
            table.writerow([f.name, f.reason, f"{f.score:.2f}", f.level, f.part, f.detail])


def count_reasons(findings: list[Finding]) -> dict[str, int]:
    """Return reason -> how many, errors first, in the order listed above; none left out."""
    return {reason: sum(f.reason == reason for f in findings) for reason in (*ERRORS, *WARNINGS)}
