"""Several models as one: each looks at every face, and their points are combined."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import tee
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from landmarks.data.faces import Faces
from landmarks.errors import UserError
from landmarks.files import reserve
from landmarks.inference.finder_protocol import Finder, Framing

EnsembleName = Literal["mean", "median", "weighted"]


def combine_points(
    points: np.ndarray, how: EnsembleName, weights: np.ndarray | None = None
) -> np.ndarray:
    """Return (..., K, 2) float32, the combination of points (M, ..., K, 2).

    Args:
        points: NaN where a model knows nothing; the others decide.
        how: see `landmarks.inference.ensemble.Ensemble`.
        weights: (M,), for "weighted".
    """
    if how == "median":
        return np.nanmedian(points, axis=0).astype(np.float32)
    weights = np.ones(len(points)) if how == "mean" or weights is None else weights
    weights = np.reshape(weights, (-1, *(1,) * (points.ndim - 1)))
    shares = np.where(np.isnan(points), 0, weights)
    total = np.where(shares > 0, points, 0) * shares
    with np.errstate(invalid="ignore"):
        return (total.sum(0) / shares.sum(0)).astype(np.float32)


def spread_of(points: np.ndarray, combined: np.ndarray) -> np.ndarray:
    """Return (..., K) float32 pixels: the standard deviation of points (M, ..., K, 2).

    That is the root of the mean square distance from `combined` (..., K, 2).
    """
    squares = np.square(points - combined).sum(-1)
    known = ~np.isnan(squares)
    total = np.where(known, squares, 0).sum(0)
    with np.errstate(invalid="ignore"):
        return np.sqrt(total / known.sum(0)).astype(np.float32)


class Ensemble:
    """Finds points with several models, whatever their architectures, input sizes and crops.

    They are combined in original pixels. So what every model does with a photo is its own affair.

    Args:
        openers: each opens a model, see `Finder`.
        how: "mean", "median" of each coordinate, or "weighted": a mean by the inverse of the
            validation error of each.
        one_at_a_time: hold one model's memory at a time. The points of the others wait on the disk.

    Attributes:
        members: the models; none where one is held at a time.
        certainty: "confidence", the mean of the models', if all know theirs; else "spread".

    Others are as in `Finder`, with the data, framing and input of the first model.

    Raises:
        UserError: if there are not several, their points differ, or one knows no validation error
            where it is needed.
    """

    def __init__(
        self,
        openers: Sequence[Callable[[], Finder]],
        how: EnsembleName = "mean",
        one_at_a_time: bool = False,
    ):
        if len(openers) < 2:
            raise UserError("An ensemble needs several models: name two checkpoints at least.")
        self.openers, self.members, looked = openers, [], []
        for opener in openers:
            looked.append(_look(member := opener()))
            if not one_at_a_time:
                self.members.append(member)
        first = looked[0]
        for number, other in enumerate(looked[1:], start=2):
            _refuse_other_points(first, other, number)
        self.layout, self.num_points, self.places = first.layout, first.num_points, first.places
        self.config, self.exif, self.input_size = first.config, first.exif, first.input_size
        unlabelled = set.intersection(*(set(facts.unlabelled) for facts in looked))
        self.unlabelled = sorted(unlabelled)
        self.unknown = [facts.unlabelled for facts in looked]
        knows = all(facts.certainty == "confidence" for facts in looked)
        self.certainty = "confidence" if knows else "spread"
        self.how = how
        self.weights = np.ones(len(openers), np.float32)
        if how == "weighted":
            self.weights = _weigh(looked)
        self.val_mse = None  # of none of them
        self.description = _describe(how, looked)

    def batches(self, faces: Faces, framing: Framing) -> "EnsembleBatches":
        """Return the batches of all faces, of each model; see `Predictor.batches`.

        Models that see the same of a face, such as those of a k-fold, share theirs.
        """
        made, each = {}, []
        for member in self.members:
            seen = member.sees(framing.detected)
            if seen not in made:
                made[seen] = member.batches(faces, framing)
            each.append(made[seen])
        return EnsembleBatches(faces, framing, each)

    def predict(self, batches: "EnsembleBatches") -> Iterator[tuple[Any, np.ndarray, np.ndarray]]:
        """Yield what `Predictor.predict` does: the first model's batch, points and certainty."""
        if self.members:
            each = zip(self.members, _shared(batches.each), strict=True)
            streams = [member.predict(of_member) for member, of_member in each]
            for found in zip(*streams, strict=True):
                points, sure = (np.stack(values) for values in list(zip(*found, strict=True))[1:])
                yield found[0][0], *self.combine(points, sure)
            return
        with tempfile.TemporaryDirectory() as folder:
            yield from self._predict_in_turn(batches, Path(folder))

    def _predict_in_turn(self, batches: "EnsembleBatches", folder: Path) -> Iterator[tuple]:
        count, last = len(batches.faces), len(self.openers) - 1
        shapes = (last, count, self.num_points, 2), (last, count, self.num_points)
        points, sure = (
            np.memmap(folder / str(i), np.float32, "w+", shape=shape)
            for i, shape in enumerate(shapes)
        )
        for array in (points, sure):
            reserve(Path(array.filename))
        for m, opener in enumerate(self.openers):
            member, done = opener(), 0
            own = member.batches(batches.faces, batches.framing)
            batches.each.append(own)
            for batch, found, known in member.predict(own):
                part = slice(done, done := done + len(found))
                if m < last:
                    points[m, part], sure[m, part] = found, known
                else:
                    yield (
                        batch,
                        *self.combine(
                            np.concatenate([points[:, part], found[None]]),
                            np.concatenate([sure[:, part], known[None]]),
                        ),
                    )
            del member

    def combine(self, points: np.ndarray, sure: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return points (B, K, 2) and certainty (B, K) of those of M models.

        Args:
            points: (M, B, K, 2), which are overwritten where a model has learnt no such point.
            sure: (M, B, K), the confidence of each.
        """
        for member, unknown in enumerate(self.unknown):
            asked = np.setdiff1d(unknown, self.unlabelled).astype(int)
            points[member][:, asked] = np.nan
        combined = combine_points(points, self.how, self.weights)
        if self.certainty == "confidence":
            return combined, sure.mean(0)
        return combined, spread_of(points, combined)


class EnsembleBatches:
    """The batches of each model of an ensemble, over the same faces.

    Attributes:
        faces: as given.
        framing: how they are given to the models.
        each: `Batches` of each model; filled while one model is held at a time.
    """

    def __init__(self, faces: Faces, framing: Framing, each: list):
        self.faces, self.framing, self.each = faces, framing, each
        self.batch_size = framing.batch_size

    def __len__(self) -> int:
        """Batches of all faces."""
        return -(-len(self.faces) // self.batch_size)

    @property
    def source(self) -> Any:
        """What the first model's batches are read from: its `faces` are those framed."""
        return self.each[0].source if self.each else self

    @property
    def unreadable(self) -> set[int]:
        """Rows whose images could not be read."""
        return set().union(*(batches.unreadable for batches in self.each))


class _Share:
    """One of several readers of the same batches: each of these is made once."""

    def __init__(self, batches: Any, stream: Iterator):
        self.source, self.batch_size, self.stream = batches.source, batches.batch_size, stream
        self.unreadable, self.on_error = batches.unreadable, batches.on_error

    def __iter__(self) -> Iterator:
        return self.stream


def _shared(each: list) -> list:
    """Return what each model reads, of batches that stand several times where models share them."""
    counts = Counter(map(id, each))
    streams = {id(b): iter(tee(b, counts[id(b)])) for b in each if counts[id(b)] > 1}
    return [_Share(b, next(streams[id(b)])) if id(b) in streams else b for b in each]


class _Facts(NamedTuple):
    """What an ensemble must know of a model that it does not hold."""

    layout: Any
    num_points: int
    unlabelled: list[int]
    certainty: str
    description: str
    exif: str
    config: dict
    input_size: int
    val_mse: float | None
    places: dict | None
    kind: str


def _look(finder: Finder) -> _Facts:
    return _Facts(*(getattr(finder, name) for name in _Facts._fields))


def _describe(how: str, looked: list[_Facts]) -> str:
    """Return several models in words: how many of which kind, and how good they are alone."""
    kinds = Counter(facts.kind for facts in looked)
    several = len(kinds) > 1
    named = ", ".join(f"{n} {kind}" if several else kind for kind, n in kinds.items())
    errors = sorted(facts.val_mse for facts in looked if facts.val_mse is not None)
    alone = f", validation MSE {errors[0]:.3f} to {errors[-1]:.3f} px² alone" if errors else ""
    return f"{how} of {len(looked)} models: {named}{alone}, {looked[0].num_points} points"


def _refuse_other_points(first: _Facts, other: _Facts, number: int) -> None:
    """Refuse models of other points, or of these in another order, where both have names.

    Args:
        number: of the other one among those listed, from 1.
    """
    said = f"model 1, '{first.description}', and model {number}, '{other.description}',"
    same_size = first.num_points == other.num_points
    a, b = ({**vars(facts.layout), "name": "", "places": {}} for facts in (first, other))
    named = all(facts.layout.regions for facts in (first, other))
    if not same_size or (named and a != b):
        what = f"{first.num_points} and {other.num_points} points"
        if same_size:
            what = f"the layouts {first.layout.name} and {other.layout.name}"
        raise UserError(
            f"An ensemble needs models of the same points, and {said} have {what}: leave one of "
            f"them out."
        )
    names = first.layout.names, other.layout.names
    pairs = zip(*names, strict=False)  # one may have none
    differing = next(((i, *pair) for i, pair in enumerate(pairs) if pair[0] != pair[1]), None)
    if differing is None:
        return
    what, way = "points of other names", ""
    if {*names[0]} == {*names[1]}:
        what = "the same points in another order"
        way = (
            ", or combine their predictions.npz (landmarks predict npz=true) by landmarks ensemble"
        )
    i, one, another = differing
    raise UserError(
        f"An ensemble needs models of the same points in one order, and {said} have {what}, point "
        f"{i} being '{one}' and '{another}': leave one of them out{way}."
    )


def _weigh(looked: list[_Facts]) -> np.ndarray:
    errors = [facts.val_mse for facts in looked]
    for facts in looked:
        if not facts.val_mse:
            raise UserError(
                f"ensemble=weighted: '{facts.description}' knows no validation error; use "
                f"ensemble=mean."
            )
    return np.float32(1 / np.array(errors))
