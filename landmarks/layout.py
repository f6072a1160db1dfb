"""What the points of a face are: named regions, flip permutation, outer eye corners."""

import re
from dataclasses import dataclass, field

import numpy as np

from landmarks.errors import UserError, did_you_mean

SIDE = re.compile(r"left|right|\b[lr](?=\b|\d)")
OTHER_SIDE = {"left": "right", "right": "left", "l": "r", "r": "l"}


@dataclass(frozen=True, eq=False)
class Layout:
    """The meaning of K points.

    Args:
        name: the layout's name, as in configs/layout.
        num_points: K.
        eyes: the two points (outer eye corners) whose distance normalises errors; None: the
            square root of the area of the labelled points' box does.
        regions: name -> [first, last], inclusive.
        places: name of a region -> [x, y], where the middle of its points is in a face from the
            front, counted from the middle between the eyes in their distance, x to the right and y
            down; what the labels are checked against.
        swap: [a, b, c, d] exchanges the ranges a..b and c..d, in order, when a face is mirrored.
        reverse: [a, b] exchanges the two ends of the range a..b, inwards to its middle.
        names: of the K points, as the data has them; empty: it has none. Where neither swap nor
            reverse says more, left and right in them are exchanged when a face is mirrored.
        flip: K numbers, the whole flip permutation as the data names it; empty: it names none. It
            counts where neither swap nor reverse says more.
    """

    name: str
    num_points: int
    eyes: list | None = None
    regions: dict = field(default_factory=dict)
    swap: list = field(default_factory=list)
    reverse: list = field(default_factory=list)
    places: dict = field(default_factory=dict)
    names: list = field(default_factory=list)
    flip: list = field(default_factory=list)

    def __post_init__(self):
        regions = self.regions.values()
        for key, ranges in (("regions", regions), ("swap", self.swap), ("reverse", self.reverse)):
            for listed in ranges:
                self._check_range(key, listed, 4 if key == "swap" else 2)
        if self.eyes is not None:
            self._check_points("eyes", self.eyes, 2)
        if self.names and len(self.names) != self.num_points:
            raise UserError(
                f"layout {self.name}, names: {len(self.names)} where it has {self.num_points} "
                f"points; name each, or none."
            )

    def _check_points(self, key: str, listed: object, count: int) -> None:
        if not (
            isinstance(listed, list) and len(listed) == count and {*map(type, listed)} == {int}
        ):
            raise UserError(
                f"layout {self.name}, {key}: {count} points, whole numbers, belong here; found "
                f"{listed}."
            )
        wrong = [i for i in listed if not 0 <= i < self.num_points]
        if wrong:
            raise UserError(
                f"layout {self.name}, {key}: point {wrong[0]} is outside its {self.num_points} "
                f"points."
            )

    def _check_range(self, key: str, listed: object, count: int) -> None:
        self._check_points(key, listed, count)
        sizes = [last - first + 1 for first, last in zip(listed[::2], listed[1::2], strict=True)]
        if min(sizes) < 1:
            raise UserError(
                f"layout {self.name}, {key}: {listed} does not begin before it ends; name the "
                f"first point, then the last."
            )
        if len({*sizes}) > 1:
            raise UserError(
                f"layout {self.name}, {key}: {listed} exchanges {sizes[0]} points with {sizes[1]}; "
                f"both ranges need as many."
            )
        unknown = [name for name in self.places if name not in self.regions]
        if unknown or (self.places and not self.eyes):
            missing = f"a region {unknown[0]}" if unknown else "eyes"
            raise UserError(f"layout {self.name}: its places need {missing}; add them.")

    @property
    def nme_name(self) -> str:
        """The normaliser of the mean error, for column names and messages."""
        return "eyes" if self.eyes else "box"

    def point_names(self) -> list[str]:
        """Return K names: the data's; else a point's first region and its place there,
        "jaw_left_0"; else "7"."""
        if self.names:
            return list(self.names)
        names = [str(point) for point in range(self.num_points)]
        for region, (first, last) in reversed(self.regions.items()):
            names[first : last + 1] = [f"{region}_{i}" for i in range(last - first + 1)]
        return names

    def spots(self) -> dict[str, tuple[list[int], list[float]]]:
        """Return name -> ([first, last], [x, y]), where points are expected: places and eyes."""
        if not self.places:
            return {}
        spots = {name: (self.regions[name], place) for name, place in self.places.items()}
        (left, right), half = self.eyes, 0.5
        eyes = {f"eye at point {left}": ([left, left], [-half, 0.0])}
        return {**spots, **eyes, f"eye at point {right}": ([right, right], [half, 0.0])}

    @property
    def pairs_from(self) -> str:
        """What the pairs of `flip_permutation` are: "layout", "flip_idx" of the data, or of its
        points' "names"."""
        if self.swap or self.reverse:
            return "layout"
        return "flip_idx" if self.flip else "names"

    def pick_ranges(self, region: str) -> dict[str, range]:
        """Return {"all": every point, region: its points}; "auto" is the first region, if any.

        Raises:
            UserError: if the layout has no such region.
        """
        picked = {"all": range(self.num_points)}
        if region == "auto":
            region = next(iter(self.regions), None)
        elif region not in self.regions:
            known = ["auto", *self.regions]
            raise UserError(
                f"pictured_region={region} is no region of layout {self.name}: use "
                f"{', '.join(known)}.{did_you_mean(region, known)}"
            )
        if region is not None:
            first, last = self.regions[region]
            picked[region] = range(first, last + 1)
        return picked

    def flip_permutation(self) -> np.ndarray | None:
        """Return (K,) indices: point i of a mirrored face is point flip[i] of the face.

        None where the layout names no pairs.
        """
        if not self.swap and not self.reverse:
            return np.array(self.flip) if self.flip else pair_names(self.names)
        flip = np.arange(self.num_points)
        for a, b, c, d in self.swap:
            flip[a : b + 1] = np.arange(c, d + 1)
            flip[c : d + 1] = np.arange(a, b + 1)
        for a, b in self.reverse:
            flip[a : b + 1] = np.arange(b, a - 1, -1)
        return flip

    def to_dict(self) -> dict:
        """Return the layout as plain JSON data; `Layout(**it)` is the way back."""
        return dict(vars(self))


def pair_names(names: list[str]) -> np.ndarray | None:
    """Return (K,) indices: point i has the name of point flip[i] with left and right exchanged.

    Left and right are these words, anywhere in a name, or l and r as words of their own, as in
    l_eye, eyeL or "nose r". None where no name holds them, or one has no partner.
    """
    words = [_split_words(name) for name in names]
    places = {word: i for i, word in enumerate(words)}
    flip = [places.get(SIDE.sub(lambda side: OTHER_SIDE[side[0]], word)) for word in words]
    if None in flip or len(places) < len(names) or flip == [*range(len(names))]:
        return None
    return np.array(flip)


def _split_words(name: str) -> str:
    """Return a name in lower case, its words parted by blanks: LeftEye_x1 is "left eye x1"."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return " ".join(re.split(r"[^0-9a-z]+", parted.casefold()))
