"""The faces that a command with a model reads: those of its training, or of another folder."""

import importlib
import inspect
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from landmarks.commands.preparing.config_groups import build
from landmarks.data import formats
from landmarks.data.faces import Faces
from landmarks.data.reading.find_format import Format, find_format, of_store, require_format
from landmarks.data.reading.named_points import are_numbers
from landmarks.data.shards.shard_store import is_remote
from landmarks.errors import UserError, say_some
from landmarks.evaluation.read_predictions import Predictions
from landmarks.runs.config_targets import trusted
from landmarks.settings import check_arguments

log = logging.getLogger(__name__)
MAX_NAMED = 5  # points in a sentence
FOUND_SO = {"points": ("points", "ibug")}  # .pts files are read by both


class _Reader(NamedTuple):
    """A reader, the last word of its data=..., and its settings."""

    function: Callable
    kind: str
    settings: dict

    def takes(self, key: str) -> bool:
        return key in inspect.signature(self.function).parameters


def read_data(data: dict, trained: dict, part: Literal["train", "test"]) -> Faces:
    """Return the faces of a part of the named data, or else of the data the model was trained on.

    A folder that holds another format than that of the training is read as what it holds.

    Args:
        data: of configs/data; what is None there is as in training.
        trained: the settings of the training.

    Raises:
        UserError: if it cannot be told how data.root is to be read.
    """
    if "_target_" in data:
        return build(data, part=part)
    given = {key: value for key, value in data.items() if value is not None}
    reader = _of_training(trained["data"])
    if "root" in given:
        reader = _of_root(given.pop("root"), reader)
    else:
        _refuse_lost(reader.settings.get("root"))
    expected = inspect.signature(reader.function).parameters.values()
    required = {it.name for it in expected if it.default is it.empty} - {"part", "reading"}
    if not required <= {*reader.settings}:
        raise UserError(
            "An exported model knows no data of its own: name photos with input=FOLDER, or a data "
            "set with data.root=FOLDER."
        )
    # A limit on the training faces is none on the test faces: a submission needs them all.
    limit = {"limit": None} if part == "test" else {}
    arguments = check_arguments(reader.function, {**reader.settings, **limit, **given}, "data")
    return reader.function(**arguments, part=part)


def _refuse_lost(root: str | None) -> None:
    """Raise UserError if the training's own folder of data is not there, as from another folder."""
    if root is not None and not is_remote(root) and not Path(root).exists():
        raise UserError(
            f"The model was trained with data.root={root}, and in {Path.cwd()} there is no such "
            f"folder: set data.root=FOLDER."
        )


def _of_training(node: dict) -> _Reader:
    function = trusted(node, "data")
    return _Reader(function, function.__module__.rpartition(".")[2], node)


def _of_root(root: str, own: _Reader) -> _Reader:
    """Return what reads a folder, a file or a store's address."""
    if not is_remote(root):
        return _of_folder(Path(root), own)
    if own.kind == "shards":
        return own._replace(settings={**own.settings, "root": root})
    return _reader_of(of_store(root))


def _of_folder(root: Path, own: _Reader) -> _Reader:
    """Return what reads a folder or file: the training's own reader where it holds such data."""
    takes_root = own.takes("root") and own.kind != "synthetic"
    files = [it for key, it in own.settings.items() if key.endswith("_annotations") and it]
    has_files = takes_root and any((root / name).is_file() for name in files)
    try:
        found = find_format(root) if takes_root else require_format(root)
    except UserError:  # several kinds, of which the training's may be one
        if not takes_root:
            raise
        found = None
    is_own = has_files or found is None or found.name in FOUND_SO.get(own.kind, (own.kind,))
    if takes_root and is_own:
        log.info(f"data.root is read as data={own.kind}, as in training; data=NAME names another.")
        return own._replace(settings={**own.settings, "root": str(root)})
    log.info(f"data.root is read as data={found.name}: {found.why}; data=NAME names another.")
    if found.name == own.kind:  # the same doubts have the same answers
        kept = {key: value for key, value in own.settings.items() if "images" not in key}
        return own._replace(settings={**kept, **found.settings})
    return _reader_of(found)


def _reader_of(found: Format) -> _Reader:
    function = importlib.import_module(f"{formats.__name__}.{found.name}").read_faces
    return _Reader(function, found.name, found.settings)


def in_order(faces: Faces, names: Sequence[str]) -> Faces:
    """Return faces with their points in the order that a model has them in, told by their names.

    Args:
        names: K names of the model's points; empty: it knows none, and the order is taken as it is.

    Raises:
        UserError: if both have names, of other points, or one has numbers with a gap.
    """
    own = list(faces.point_names)
    if bool(own) != bool(names) and are_numbers(own or names):
        _refuse_numbers(faces, own, names)
    unlabelled = faces.points is None
    order = None if unlabelled else find_order(own, names, faces.source, "the model")
    if order is None:
        return faces
    return replace(
        faces,
        points=faces.points[:, order],
        visible=None if faces.visible is None else faces.visible[:, order],
        flip=None,  # its numbers are those of the old order
        point_names=names,
    )


def predictions_in_order(
    predictions: Predictions, names: Sequence[str], source: str, path: Path
) -> Predictions:
    """Return predictions with their points in the order of those they are compared with.

    Where one of the two has no names, the order is taken as it is, with a warning.

    Args:
        names: K names of the others; empty: they have none.
        source: where the others are from, for messages.
        path: where the predictions are from.

    Raises:
        UserError: if both have names, of other points.
    """
    own = list(predictions.point_names)
    if bool(own) != bool(names):
        lack, have = (source, path) if own else (path, source)
        log.warning(
            f"{lack} names no points and {have} does: they are compared by their order. "
            f"predictions.npz of landmarks predict npz=true keeps names, as columns NAME_x, NAME_y "
            f"of a table do."
        )
    order = find_order(own, names, str(path), source)
    if order is None:
        return predictions
    sure = predictions.confidence
    return predictions._replace(
        points=predictions.points[:, order],
        confidence=None if sure is None else sure[:, order],
        point_names=names,
    )


def find_order(
    own: Sequence[str], names: Sequence[str], source: str, other: str
) -> list[int] | None:
    """Return where each of the named points stands among others; None: they stand so already, or
    one of the two has no names.

    Args:
        own: K names of the points to be put in order.
        names: K names in the order wanted.
        source, other: where these and those are from, for messages.

    Raises:
        UserError: if they are names of other points.
    """
    own, names = list(own), list(names)
    if not own or not names or own == names:
        return None
    differing = say_differing(own, names, other)
    if differing:
        raise UserError(
            f"{source} {differing}: name data and a model, or predictions, of the same points, or "
            f"give both the same names."
        )
    log.info(f"The points of {source} are put into the order of {other}, by their names.")
    return [own.index(name) for name in names]


def say_differing(own: Sequence[str], names: Sequence[str], other: str) -> str:
    """Return which named points one of two has alone, "has 'a', which {other} has not, and lacks
    'b', which it has"; "" where these are the same, or one of the two has no names.

    Args:
        own: K names of the points of what is spoken of.
        names: L names of the other's points.
        other: what has those.
    """
    if not own or not names:
        return ""
    excess, lacking = set(own) - set(names), set(names) - set(own)
    has, lacks = (
        say_some((f"'{name}'" for name in given if name in some), MAX_NAMED)
        for given, some in ((own, excess), (names, lacking))
    )
    said = [f"has {has}, which {other} has not"] if excess else []
    said += [f"lacks {lacks}, which {'it' if said else other} has"] if lacking else []
    return ", and ".join(said)


def _refuse_numbers(faces: Faces, own: Sequence[str], names: Sequence[str]) -> None:
    """Refuse points that are numbered with a gap beside others that are counted one by one."""
    if faces.points is None and not own:
        return
    said = say_some(own or names, MAX_NAMED)
    have, lack = ("the data", "the model") if own else ("the model", "the data")
    raise UserError(
        f"The points of {faces.source} and of the model may be others: those of {have} are "
        f"numbered {said} with a gap, those of {lack} one by one; label the same points in "
        f"both, and train with layout=auto, which keeps the numbers."
    )
