"""What the faces say about a flip permutation, judged on faces that did not choose it."""

from dataclasses import dataclass

import numpy as np

from landmarks.shapes.aligning import Model, Shapes, shape_model
from landmarks.shapes.pairing import misfit

HALVINGS = 2  # each gives two halves
ROUNDING = 0.3  # original pixels: labels are whole pixels, which are 1/sqrt(12) off, rms
# Bounds, from 50 to 2,000 real faces of 971 and of 68 points. "Up to" is what the right permutation
# measured, "from" what wrong ones, one-sided and random sets did.
MAX_RESIDUAL = 0.1  # of the mean shape, over its size, plus TURN_ALLOWANCE / sqrt(faces)
TURN_ALLOWANCE = 0.6  # how far from symmetric one turned head is: 0.57 in the most turned percent
MAX_MISFIT = 1.15  # of mirrored faces, over that of faces, rms: up to 1.06; from 1.2
MAX_POINT_MISFIT = 2.0  # the same of one point: up to 1.45; from 2.1
MAX_LOOSE = 0.75  # movement that the model leaves unexplained, over all, rms: up to 0.65; 0.8


@dataclass(frozen=True, eq=False)
class Half:
    """Some faces, their model, and the faces that it was not made from."""

    shapes: Shapes
    model: Model
    others: Shapes


def halve(shapes: Shapes, random: np.random.Generator) -> list[Half]:
    """Return random halves of the faces, each with the other half beside it."""
    halves = []
    for _ in range(HALVINGS):
        mixed = random.permutation(len(shapes.faces))
        middle = len(mixed) // 2
        parts = shapes.take(mixed[:middle]), shapes.take(mixed[middle:])
        for one, other in (parts, parts[::-1]):
            halves.append(Half(one, shape_model(one), other))
    return halves


def agreement(flip: np.ndarray, picks: list[tuple[np.ndarray, np.ndarray]], unit: float) -> float:
    """Return the share of points whose partner is that of `flip` (K,) in the picks of halves.

    Args:
        picks: permutation (K,) and costs (K, K) of each half, see `shapes.pairing.refine`.
        unit: original pixels per unit of length; two partners whose distances from the place
            where one is expected differ by less than label rounding count as the same.
    """
    points, same = np.arange(len(flip)), []
    for other, costs in picks:
        away = np.sqrt(costs) * unit
        tied = np.abs(away[points, flip] - away[points, other]) < ROUNDING
        same.append((other == flip) | tied)
    return float(np.mean(same))


def object_to(
    flip: np.ndarray, shapes: Shapes, halves: list[Half], residual: float, found: bool
) -> str:
    """Return what speaks against a permutation (K,), a clause; empty: nothing.

    Args:
        halves: none for so few faces that only the mean shape can be looked at.
        residual: of the mean shape, see `landmarks.shapes.pairing.mean_residual`.
        found: it was found in these faces, which then have to move as one.
    """
    bound = MAX_RESIDUAL + TURN_ALLOWANCE / np.sqrt(len(shapes.faces))
    if residual > bound:
        return (
            f"the mirrored mean face lies {residual:.3f} of its size beside itself, more than "
            f"{bound:.3f}"
        )
    if not halves:
        return ""  # a layout's, on few faces: there is no more to be seen
    own = np.mean([misfit(half.others, half.model) for half in halves], axis=0)
    mirrored = np.mean([misfit(half.others, half.model, flip) for half in halves], axis=0)
    spread = np.mean([(np.abs(h.others.faces - h.model.mean) ** 2).mean() for h in halves])
    loose = np.sqrt(own.mean() / max(spread, 1e-12))
    if found and loose > MAX_LOOSE:
        return (
            f"the points do not move together: {loose:.0%} of their movement is each one's own, "
            f"more than {MAX_LOOSE:.0%}"
        )
    floor = (ROUNDING / shapes.unit) ** 2
    ratio = np.sqrt((mirrored.mean() + floor) / (own.mean() + floor))
    if ratio > MAX_MISFIT:
        return (
            f"mirrored faces are unlike faces: their points lie {ratio:.1f} times as far from "
            f"where they are expected, more than {MAX_MISFIT:g} times"
        )
    ratios = np.sqrt((mirrored + floor) / (own + floor))
    if ratios.max() > MAX_POINT_MISFIT:
        k = ratios.argmax()
        return (
            f"{(ratios > MAX_POINT_MISFIT).sum()} points have no partner, such as point {k}, in "
            f"mirrored faces {ratios[k]:.1f} times as far from its place as in faces"
        )
    return ""
