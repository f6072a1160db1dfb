"""Which points of a set of shapes are each other's mirror images: candidates and their judgement.

The mean shape's mirror image says roughly who is whose partner. Contours that nearly coincide, and
neighbours on a contour, are told apart by movement: a mirrored face has to be a face again, so
each point of it, as the shape model places it by all the others, must lie at its partner.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from landmarks.shapes.aligning import Model, Shapes, fit_onto, shape_model

TURN = np.radians(60)  # of the mirrored mean shape: faces stand within 30 degrees of upright
STARTS = np.linspace(-TURN, TURN, 9)
AXIS_ROUNDS = 25
POSES = [(mode, amount) for mode in range(3) for amount in (-1.5, -1, -0.5, 0.5, 1, 1.5)]
CANDIDATES = 3  # candidates per model
REFINEMENTS = 5
HALVINGS = 2  # each gives two halves
ROUNDING = 0.3  # original pixels: labels are whole pixels, which are 1/sqrt(12) off, rms
# Bounds, from 50 to 2,000 real faces of 971 and of 68 points. "Up to" is what the right permutation
# measured, "from" what wrong ones, one-sided and random sets did.
MAX_RESIDUAL = 0.1  # of the mean shape, over its size, plus TURN_ALLOWANCE / sqrt(faces)
TURN_ALLOWANCE = 0.6  # how far from symmetric one turned head is: 0.57 in the most turned percent
MAX_MISFIT = 1.15  # of mirrored faces, over that of faces, rms: up to 1.06; from 1.2
MAX_POINT_MISFIT = 2.0  # the same of one point: up to 1.45; from 2.1
MAX_LOOSE = 0.75  # movement that the model leaves unexplained, over all, rms: up to 0.65; 0.8


def candidates(model: Model) -> list[np.ndarray]:
    """Return (K,) involutions under which the mean shape, or one near it, is most symmetric.

    The mean of few faces looks aside; a symmetric shape is then found along the first modes, one
    of which is the turning of the head.
    """
    found = [_fit_axis(model.mean, turn) for turn in STARTS]
    turn = min(found, key=lambda pair: pair[0])[1]
    fits = [(away, turn, model.mean) for away, turn in found]
    for mode, amount in POSES:
        if mode < model.modes.shape[1]:
            shape = model.vary(mode, amount)
            fits.append((*_fit_axis(shape, turn), shape))
    # About some slanting axis, any few points are nearly symmetric.
    fits = sorted((fit for fit in fits if abs(fit[1]) <= TURN), key=lambda fit: fit[0])
    kept: list[np.ndarray] = []
    tried: list[tuple[float, int]] = []
    for _, turn, shape in fits:
        if (round(turn, 3), id(shape)) in tried:  # several starts end at one axis
            continue
        tried.append((round(turn, 3), id(shape)))
        mirror = -shape.conj() * np.exp(1j * turn)
        flip = pair_points(np.abs(shape[:, None] - mirror) ** 2)
        if not any((flip == other).all() for other in kept):
            kept.append(flip)
        if len(kept) == CANDIDATES or len(tried) == 2 * CANDIDATES:
            break
    return kept or [np.arange(len(model.mean))]  # to be refused, but for a midline alone


def pair_points(cost: np.ndarray) -> np.ndarray:
    """Return (K,) the involution of least total cost (K, K), but for odd cycles (see below).

    The assignment of least symmetrised cost falls into cycles. One of even length has the cost of
    the mean of its two ways to pair up, so the better of them is as good. In an odd one the point
    that is its own partner is chosen for the least cost, which may be more than the assignment's.
    """
    cost = (cost + cost.T) / 2
    assigned = linear_sum_assignment(cost)[1]
    flip = np.arange(len(cost))
    done = np.zeros(len(cost), bool)
    for start in range(len(cost)):
        cycle, point = [], start
        while not done[point]:
            done[point] = True
            cycle.append(point)
            point = assigned[point]
        if len(cycle) > 1:
            points, partners = min(_ways(cycle), key=lambda way: cost[way].sum())
            flip[points] = partners
    return flip


def _ways(cycle: list[int]) -> Iterator[tuple[list[int], list[int]]]:
    for shift in range(len(cycle) if len(cycle) % 2 else 2):
        turned = cycle[shift:] + cycle[:shift]
        second = turned[1::2]
        first, alone = turned[0::2][: len(second)], turned[2 * len(second) :]
        yield first + second + alone, second + first + alone


def mirror(shapes: Shapes, model: Model, flip: np.ndarray) -> np.ndarray:
    """Return (n, K): the mirrored faces with their points renamed, fitted onto the mean shape."""
    return fit_onto(-shapes.faces.conj()[:, flip], model.mean)


def mirror_costs(shapes: Shapes, model: Model, flip: np.ndarray) -> np.ndarray:
    """Return (K, K) costs of taking point j for the mirror image of point i.

    A cost is the mean squared distance of point j of the mirrored faces to where the model expects
    point i, once the other points are renamed by `flip` (K,).
    """
    renamed = mirror(shapes, model, flip)
    expected, found = model.project(renamed), renamed[:, flip]
    products = expected.real.T @ found.real + expected.imag.T @ found.imag
    squares = [(np.abs(faces) ** 2).mean(0) for faces in (expected, found)]
    costs = squares[0][:, None] + squares[1] - 2 * products / len(found)
    return np.maximum((costs + costs.T) / 2, 0)


def misfit(shapes: Shapes, model: Model, flip: np.ndarray | None = None) -> np.ndarray:
    """Return (K,): mean squared distance of each point to where the model expects it.

    Of the faces as they are, or mirrored and renamed by `flip`. Missing points do not count.
    """
    if flip is None:
        faces, seen = fit_onto(shapes.faces, model.mean), shapes.seen
    else:
        faces, seen = mirror(shapes, model, flip), shapes.seen[:, flip]
    squares = np.abs(faces - model.project(faces)) ** 2
    return (squares * seen).sum(0) / np.maximum(seen.sum(0), 1)


def refine(shapes: Shapes, model: Model, flip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the flip (K,) that its own mirrored faces confirm, and their costs (K, K)."""
    for _ in range(REFINEMENTS):
        costs = mirror_costs(shapes, model, flip)
        better = pair_points(costs)
        if (better == flip).all():
            break
        flip = better
    return flip, costs


def mean_residual(mean: np.ndarray, flip: np.ndarray) -> float:
    """Return the rms distance of the mirrored shape's points (K,) to their partners, over the
    shape's size (rms distance of its points to its middle)."""
    centred = mean - mean.mean()
    renamed = -centred.conj()[flip]
    turn = (renamed.conj() * centred).sum()
    apart = centred - renamed * turn / max(abs(turn), 1e-12)
    return float(np.sqrt((np.abs(apart) ** 2).mean() / (np.abs(centred) ** 2).mean()))


def _fit_axis(shape: np.ndarray, turn: float) -> tuple[float, float]:
    """Return (rms distance to the nearest points, turn) of the best mirroring near a turn."""
    tree = cKDTree(np.c_[shape.real, shape.imag])
    flat = -shape.conj()
    for _ in range(AXIS_ROUNDS):
        turned = flat * np.exp(1j * turn)
        away, nearest = tree.query(np.c_[turned.real, turned.imag])
        before, turn = turn, float(np.angle((flat.conj() * shape[nearest]).sum()))
        if abs(turn - before) < 1e-5:
            break
    return float(np.sqrt((away**2).mean())), turn


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
