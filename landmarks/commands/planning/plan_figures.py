"""A plan as one object: its figures, each with how it is known, as text and as JSON."""

import json
from dataclasses import asdict, dataclass, field
from typing import Literal

from landmarks.errors import say_count
from landmarks.machine import say_bytes
from landmarks.training.time_budget import say_duration

Known = Literal["counted", "measured", "modelled", "assumed", "given"]


@dataclass(frozen=True)
class Figure:
    """A number, its unit, and how it is known; None: it is not.

    "counted" follows from shapes and settings, "measured" is of this machine now, "modelled"
    follows from others by docs/scale.md's model, "assumed" and "given" are a file's and the user's.
    """

    value: float | None
    unit: str
    known: Known

    def say(self) -> str:
        """Return it in words."""
        if self.value is None:
            return "?"
        if self.unit == "bytes":
            return say_bytes(self.value)
        if self.unit == "s":
            return say_seconds(self.value)
        return f"{self.value:,.0f}" if self.value >= 100 else f"{self.value:,.3g}"


def say_seconds(seconds: float) -> str:
    """Return seconds in words, short ones as milliseconds or microseconds."""
    if seconds >= 10:
        return say_duration(seconds)
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{1e3 * seconds:.3g} ms" if seconds >= 1e-4 else f"{1e6 * seconds:.3g} us"


@dataclass(frozen=True)
class RanksPlan:
    """What a training by so many ranks takes.

    Args:
        ranks: processes, each on its GPU.
        faces_each: of a batch.
        memory: of a rank.
        fits: whether that is there; None: it is not known.
        step: of a batch, by what was measured where it could be.
        modelled_step: the same by the model alone, where its figures are known.
        compute, exchange, images, disk: the parts of the step.
        bottleneck: the largest of them.
        speed: faces a second in training.
        efficiency: faces a second and rank, as a share of those of the first plan.
        validation: of an epoch.
        epoch: training and validation.
        run: all epochs.
        cost: of the run; None: no price was given.
    """

    ranks: int
    faces_each: int
    memory: Figure
    fits: bool | None
    step: Figure
    modelled_step: Figure
    compute: Figure
    exchange: Figure
    images: Figure
    disk: Figure
    bottleneck: str
    speed: Figure
    efficiency: Figure
    validation: Figure
    epoch: Figure
    run: Figure
    cost: Figure | None


@dataclass(frozen=True)
class Plan:
    """All that `landmarks plan` says.

    Args:
        what: is trained on what, in words.
        facts: figures that do not depend on the ranks, by name.
        epochs: of the run.
        several: runs of a k-fold.
        ranks: a plan for each number of them.
        assumptions: what all this holds for.
    """

    what: str
    facts: dict[str, Figure]
    epochs: float
    several: int
    ranks: list[RanksPlan]
    assumptions: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """1 if no number of ranks leaves the memory that a training needs, else 0."""
        return int(all(one.fits is False for one in self.ranks))

    def as_json(self) -> str:
        """Return the plan as JSON."""
        return json.dumps(asdict(self), indent=1)

    def as_text(self) -> str:
        """Return the plan for a screen."""
        lines = [self.what, ""]
        wide = max(map(len, self.facts))
        lines += [
            f"{name:<{wide}}  {figure.say():>12}{_unit(figure):<7} {figure.known}"
            for name, figure in self.facts.items()
        ]
        lines += ["", *_table([_row(one) for one in self.ranks])]
        runs = f", {self.several} runs of a k-fold" if self.several > 1 else ""
        lines += ["", f"Epochs of a run: {self.epochs:.3g}{runs}."]
        if self.exit_code:
            lines.append("This training does not fit into memory.")
        for one in self.ranks:
            if one.fits is False:
                lines.append(
                    f"With {say_count(one.ranks, 'rank')} it does not fit: {one.memory.say()} are "
                    "needed for each. Use a smaller batch_size, with accumulate=, or a smaller "
                    "input_size."
                )
        return "\n".join([*lines, "", *(f"- {said}" for said in self.assumptions)])


def _unit(figure: Figure) -> str:
    return "" if figure.unit in ("bytes", "s", "") else f" {figure.unit}"


def _row(one: RanksPlan) -> dict[str, str]:
    row = {
        "ranks": str(one.ranks),
        "faces each": str(one.faces_each),
        "memory each": one.memory.say() + ("" if one.fits is not False else " (!)"),
        "step": one.step.say(),
        "by model": one.modelled_step.say(),
        "compute": one.compute.say(),
        "all-reduce": one.exchange.say(),
        "images": one.images.say(),
        "disk": one.disk.say(),
        "bottleneck": one.bottleneck,
        "faces/s": one.speed.say(),
        "efficiency": "?" if one.efficiency.value is None else f"{one.efficiency.value:.0%}",
        "epoch": one.epoch.say(),
        "run": one.run.say(),
    }
    if one.cost is not None:
        row["cost"] = one.cost.say()
    return {**row, "step is": one.step.known}


def _table(rows: list[dict[str, str]]) -> list[str]:
    listed = [list(rows[0]), *(list(row.values()) for row in rows)]
    wide = [max(map(len, column)) for column in zip(*listed, strict=True)]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, wide, strict=True))
        for row in listed
    ]
