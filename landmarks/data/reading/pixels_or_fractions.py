"""Labels that may not be pixels: marks for missing points, and shares of the image."""

from collections import Counter
from typing import Literal

import numpy as np

from landmarks.errors import UserError, say_count

MissingName = float | Literal["negative", "absolute", "none"] | None
HiddenName = Literal["missing", "labelled"] | None
# Share of a face's size. A real point lies nearer to the others; a mark for "missing" does not.
MIN_DISTANCE = 0.05
MIN_SIGN_DISTANCE = 0.5  # the same for a negative sign
MIN_ZERO_SHARE = 0.015  # of all points: more at (0, 0) are no slips of annotators
MIN_FRACTION_SHARE = 0.99  # of all numbers: more between 0 and 1 are shares of the image
SAMPLE = 64  # faces of a block whose numbers are looked at


def both(holds: np.ndarray) -> np.ndarray:
    """Return (n, K) bool: does it hold of x and of y (n, K, 2)? `all(axis=2)` is far slower."""
    return holds[:, :, 0] & holds[:, :, 1]


class Doubts:
    """Counts labels that may not be pixels, block by block, and asks about them at the end.

    Args:
        missing: the number that stands in x and y of a missing point, or "negative": all points
            with x and y below 0 are missing; "absolute": (-1, -1) is, and other points with x and y
            below 0 lie at the place without the signs, as MERL-RAV (Kumar et al., CVPR 2020) writes
            occluded ones; "none": none is missing; None: asked about where it seems so.
        hidden: points with v=0 are "missing", or "labelled" all the same; None: missing where they
            have no place, else asked about.
    """

    def __init__(self, missing: MissingName, hidden: HiddenName):
        self.missing, self.hidden = missing, hidden
        self.alike: Counter[float] = Counter()  # number in x and y of points away from their faces
        self.signed = self.hidden_places = self.labelled = 0
        self.numbers, self.small, self.fractions = Counter(), Counter(), Counter()

    def clear(self, points: np.ndarray, seen: np.ndarray | None) -> np.ndarray:
        """Return the next points (n, K, 2), NaN where missing.

        Args:
            points: (n, K, 2) float32 as the file has them, pixels from the file's own origin.
            seen: (n, K), 0 where a point is not visible; None: the file does not say.
        """
        gone = np.zeros((1, 1), bool)
        if isinstance(self.missing, float | int):
            gone = both(points == np.float32(self.missing))
        elif self.missing == "negative":
            gone = both(points < 0)
        elif self.missing == "absolute":
            gone = both(points == -1)
            signed = both(points < 0) & ~gone
            points = np.where(signed[:, :, None], -points, points)
        if seen is not None:
            nowhere = (points[:, :, 0] == points[:, :, 1]) & (points[:, :, 0] <= 0)
            placed = (seen == 0) & ~nowhere & both(~np.isnan(points))
            self.hidden_places += int(placed.sum())
            gone = gone | ((seen == 0) & (nowhere | (self.hidden != "labelled")))
        if gone.any():
            points = np.where(gone[:, :, None], np.float32(np.nan), points)
        self.measure("points", points)
        self.labelled += int(np.count_nonzero(both(~np.isnan(points))))
        if self.missing is None or self.missing == -1:  # who marks by -1 may mark by signs, too
            self._find_signs(points)
        return points

    def ask(self, source: str) -> None:
        """Raise UserError, naming the setting that answers it, if there is a doubt."""
        if self.hidden is None and self.hidden_places:
            raise UserError(
                f"{source}: {say_count(self.hidden_places, 'point')} with v=0 and a place: "
                f"data.hidden=missing leaves them unlabelled, data.hidden=labelled learns them."
            )
        if self.signed:
            raise UserError(
                f"{source}: {say_count(self.signed, 'point')} with x and y below 0, in the face "
                f"without the sign, as MERL-RAV writes occluded points: data.missing=negative "
                f"leaves them unlabelled, data.missing=absolute learns them without the sign, "
                f"data.missing=none learns them as they stand."
            )
        if self.missing is not None:
            self.alike.clear()
        answer = "data.missing={} leaves them unlabelled, data.missing=none learns them as places."
        asked = [
            value
            for value, count in self.alike.items()
            if value == -1 or (count > 1 and (value < 0 or count > MIN_ZERO_SHARE * self.labelled))
        ]
        if asked:
            value = max(asked, key=self.alike.get)
            raise UserError(
                f"{source}: {say_count(self.alike[value], 'point')} at ({value:g}, {value:g}), "
                f"away from the face, as what is missing is written: {answer.format(f'{value:g}')}"
            )
        for what, count in self.numbers.items():
            if self.fractions[what] and self.small[what] >= MIN_FRACTION_SHARE * count:
                raise UserError(
                    f"{source}: the {what} lie between 0 and 1, so they are shares of the image; "
                    f"pixels belong here: multiply x by the image's width and y by its height."
                )

    def measure(self, what: str, values: np.ndarray) -> None:
        """Count the numbers of the next "points" or "boxes", one face a row."""
        some = values[:: 1 + len(values) // SAMPLE]
        known = some[~np.isnan(some)]
        small = known[np.abs(known) <= 1.5]
        self.numbers[what] += len(known)
        self.small[what] += len(small)
        self.fractions[what] += int((small != np.rint(small)).sum())

    @np.errstate(over="ignore", invalid="ignore")  # near the end of float32 all is far
    def _find_signs(self, points: np.ndarray) -> None:
        """Count points with one number in x and y, and with negative ones, away from their face."""
        x, y = points[:, :, 0], points[:, :, 1]
        rows = np.flatnonzero((both(points < 0) | (x == y)).any(axis=1))
        points, x, y = points[rows], x[rows], y[rows]
        below = (x < 0) & (y < 0)
        alike = (x == y) & ((x <= 0) | (x >= np.fmax.reduce(points, axis=(1, 2))[:, None]))
        rows = np.flatnonzero((below | alike).any(axis=1))
        if not len(rows):
            return
        points, below, alike = points[rows], below[rows], alike[rows]
        others = np.where((below | alike)[:, :, None], np.float32(np.nan), points)
        low, high = (f.reduce(others, axis=1, keepdims=True) for f in (np.fmin, np.fmax))
        size = (high - low).max(axis=2)

        def away(places: np.ndarray) -> np.ndarray:
            """Return how far outside the other points' box, in its sizes; infinite without one."""
            outside = np.maximum(low - places, places - high).max(axis=2)
            return np.where(np.isnan(size), np.inf, outside / np.maximum(size, 1))

        distance = away(points)
        is_out = (distance > 1) & (size > 0)
        is_far = np.where(points[:, :, 0] <= 0, distance > MIN_DISTANCE, is_out)
        self.alike.update(points[:, :, 0][alike & is_far].tolist())
        inside = np.isnan(size) | (away(-points) < distance / 2)
        self.signed += int((below & ~alike & (distance > MIN_SIGN_DISTANCE) & inside).sum())
