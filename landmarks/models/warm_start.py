"""Start a model from the weights of another one: what fits by name and shape is taken."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence

from torch import Tensor

from landmarks.errors import UserError, say_count
from landmarks.models.landmarker import Landmarker
from landmarks.runs.checkpoint import Checkpoint

log = logging.getLogger(__name__)
MAX_LISTED = 8  # at most so many names in a message


def take_weights(
    model: Landmarker,
    checkpoint: Checkpoint,
    input_size: int,
    source: str,
    names: Sequence[str] = (),
) -> None:
    """Copy what fits from a checkpoint into a model, and log what was taken and what was not.

    A tensor fits if it has the name and shape of one of the model's; a module that stands elsewhere
    in the model, such as a backbone inside a U-Net, is found by `find_moved`. Nothing is mapped
    between numbers of points: tensors that have one row a landmark are left as built.

    The head's own buffers are settings of the present run and stay. A regression head's `start`,
    which its offsets are relative to, follows them and is scaled from the checkpoint's input.

    Args:
        model: filled in place; any of ours.
        input_size: side of the model's input, in pixels.
        source: what to call the checkpoint in messages.
        names: K names of the model's points; empty: it has none. Where the checkpoint's points have
            other names, or these in another order, its head is one of other points and stays.

    Raises:
        UserError: if nothing fits but, at most, the head: it can do nothing with other features.
    """
    own = model.state_dict()
    settings = {f"head.{name}" for name, _ in model.head.named_buffers(recurse=False)}
    moved = find_moved(checkpoint.weights, own)
    found = _rename(checkpoint.weights, own, moved)
    fits = {
        name: value
        for name, (_, value) in found.items()
        if name in own and name not in settings and value.shape == own[name].shape
    }
    if _names_differ(checkpoint.layout.get("names"), names, source):
        fits = {name: value for name, value in fits.items() if not name.startswith("head.")}
    parameters = {name for name, _ in model.named_parameters()}
    if not any(name in parameters and not name.startswith("head.") for name in fits):
        raise UserError(
            f"init={source}: nothing of its backbone fits this run's, so there is nothing to start "
            f"from; choose the model= it was trained with, or leave init= out."
        )
    first = {n for n in parameters if n.startswith("head.") and ".corrections." not in n}
    _, start = found.get("head.start", ("", None)) if "head.start" in settings else ("", None)
    if not first <= fits.keys():  # what an older head subtracts is nothing, and would stay so
        mean = fits.get("head.center.mean")
        if mean is not None and not mean.isfinite().all():
            del fits["head.center.mean"]
    elif start is not None and start.shape == own["head.start"].shape:
        scale = input_size / checkpoint.config["input_size"]
        fits["head.start"] = (start + 0.5) * scale - 0.5
    model.load_state_dict(fits, strict=False)
    _report(source, own, found, fits.keys(), moved)


def _names_differ(before: Sequence[str] | None, now: Sequence[str], source: str) -> bool:
    """Say whether as many points are others by their names, and warn of it."""
    if not before or not now or len(before) != len(now) or list(before) == list(now):
        return False
    at = next(i for i, (a, b) in enumerate(zip(before, now, strict=True)) if a != b)
    log.warning(
        f"init={source}: its point {at} is {before[at]}, and here it is {now[at]}: its head, which "
        f"finds other points or in another order, is not taken."
    )
    return True


def find_moved(found: Iterable[str], own: Iterable[str]) -> dict[str, str]:
    """Return {prefix in the file: prefix in the model} of modules that stand elsewhere.

    Names without a namesake are paired by the longest ending, of two parts at least, that is unique
    on both sides: "backbone.stages.conv1.weight" and "backbone.encoder.stages.conv1.weight" are.
    A pair says where a module has moved; it is believed where half of that module's tensors agree,
    since a few tensors of another architecture always end alike.

    Args:
        found, own: the names of tensors in the file and in the model.
    """
    there, here = set(found), set(own)
    there, here = there - here, here - there
    lost = frozenset(there)
    votes: Counter = Counter()
    for length in range(max((name.count(".") + 1 for name in there | here), default=0), 1, -1):
        endings, own_endings = _by_ending(there, length), _by_ending(here, length)
        for ending in endings.keys() & own_endings.keys():
            names, own_names = endings[ending], own_endings[ending]
            if len(names) == len(own_names) == 1:
                votes[_before(names[0], ending), _before(own_names[0], ending)] += 1
            there.difference_update(names)  # also if not unique: a shorter ending is less so
            here.difference_update(own_names)
    moved = {}
    for (before, after), count in votes.most_common():
        held = sum(_is_in(name, before) for name in lost)
        if 2 * count >= held and before not in moved and after not in moved.values():
            moved[before] = after
    return moved


def _by_ending(names: Iterable[str], length: int) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name in names:
        parts = name.split(".")
        if len(parts) >= length:
            grouped.setdefault(".".join(parts[-length:]), []).append(name)
    return grouped


def _before(name: str, ending: str) -> str:
    return name[: -len(ending)].removesuffix(".")


def _is_in(name: str, prefix: str) -> bool:
    return not prefix or name.startswith(f"{prefix}.")


def _rename(weights: dict, own: dict, moved: dict[str, str]) -> dict[str, tuple[str, Tensor]]:
    """Return {name in the model: (name in the file, tensor)}; namesakes come before what moved."""
    found = {name: (name, value) for name, value in weights.items() if name in own}
    for name, value in weights.items():
        if name not in own:
            inside = [before for before in moved if _is_in(name, before)]
            before = max(inside, key=len, default=None)
            place = name
            if before is not None:
                place = ".".join(filter(None, (moved[before], name[len(before) :].lstrip("."))))
            found[name if place in found else place] = name, value
    return found


def _report(source: str, own: dict, found: dict, taken: Iterable[str], moved: dict) -> None:
    places = "".join(f"; its {old or 'all'} as {new or 'all'}" for old, new in moved.items())
    fresh = own.keys() - taken
    log.info(
        f"Taken from {source}: {len(taken)} of {say_count(len(own), 'tensor')}: "
        f"{_list(_group(taken, fresh))}{places}."
    )
    unused = {name: found[name] for name in found if name not in taken}
    reshaped = [
        f"{old} {tuple(value.shape)}, here {tuple(own[name].shape)}"
        for name, (old, value) in unused.items()
        if name in own and value.shape != own[name].shape
    ]
    others = {
        old
        for name, (old, value) in unused.items()
        if name not in own or value.shape == own[name].shape
    }
    if unused:
        rest = {old for old, _ in found.values()} - others
        log.info(f"Not used of it: {_list([*reshaped, *_group(others, rest)])}.")
    if 2 * len(taken) < len(found):
        log.warning(
            "Less than half of its tensors fit, the others here are random: it may be a worse "
            "start than model.weights=imagenet without init=."
        )
    if fresh:
        log.info(
            f"Left as built: {say_count(len(fresh), 'tensor')}: {_list(_group(fresh, taken))}."
        )


def _group(names: Iterable[str], others: Iterable[str]) -> list[str]:
    """Shorten names to the modules that hold none of the `others`."""
    shared = {prefix for name in others for prefix in _prefixes(name)}
    groups = {}
    for name in sorted(names):
        whole = (f"{prefix}.*" for prefix in _prefixes(name) if prefix not in shared)
        groups[next(whole, name)] = None
    return list(groups)


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def _list(names: list[str]) -> str:
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + more
