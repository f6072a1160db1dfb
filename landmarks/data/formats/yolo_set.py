"""data.yaml of a YOLO data set: its points, and which images and label files are its parts."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from landmarks.data.reading.folder_walk import IMAGE_ENDINGS, ending, walk_files
from landmarks.data.reading.format_signatures import refuse_other
from landmarks.data.reading.named_points import say_names
from landmarks.data.reading.text_file import read_text
from landmarks.errors import UserError

MAX_POINTS = 1 << 20  # of a face
FILES = ("data.yaml", "data.yml", "dataset.yaml")


class YoloSet(NamedTuple):
    """What a data.yaml says.

    Attributes:
        path: its own.
        num_points: K.
        numbers: of a point in a label file: 2, x and y, or 3, with v.
        flip: K numbers, its flip_idx; None: it has none.
        classes: name of each class by its number.
        point_names: K names; empty: it has none.
        content: all of it.
    """

    path: Path
    num_points: int
    numbers: int
    flip: list[int] | None
    classes: dict[int, str]
    point_names: list[str]
    content: dict


def open_set(root: Path) -> YoloSet:
    """Return what the data.yaml in a folder, or the file itself, says.

    Raises:
        UserError: if there is none, or it is malformed.
    """
    path = root if root.is_file() else _find_yaml(root)
    try:
        content = yaml.safe_load(read_text(path))
    except (yaml.YAMLError, ValueError) as error:  # the latter of days and numbers that are none
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(f"{path}{line}: not YAML ({problem}).") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: path, train, val, kpt_shape and names belong here.")
    shape = content.get("kpt_shape")
    is_shape = _are_numbers(shape) and len(shape) == 2 and shape[1] in (2, 3)
    if not (is_shape and 0 < shape[0] <= MAX_POINTS):
        raise UserError(
            f"{path}, kpt_shape: [number of points, 2 or 3] belongs here; found {_say(shape)}."
        )
    return YoloSet(
        path,
        *shape,
        _read_flip(path, content.get("flip_idx"), shape[0]),
        _read_classes(path, content.get("names")),
        _read_point_names(content.get("kpt_names"), shape[0]),
        content,
    )


def list_images(data: YoloSet, part: str) -> tuple[Path, list[str]]:
    """Return the folder of a part's images, and their paths below it, in order.

    The training part is `train`; the test part is `test` or, where there is none, `val`. Each names
    a folder, several, or a text file with an image's path a line.

    Raises:
        UserError: if there is no such part, folder or image.
    """
    keys = ("train",) if part == "train" else ("test", "val", "valid")
    key = next((key for key in keys if data.content.get(key)), None)
    if key is None:
        raise UserError(
            f"{data.path}: there is no {' or '.join(keys[:2])}, and so no {part} faces."
        )
    listed = data.content[key]
    places = [_resolve(data, key, str(it)) for it in (listed if type(listed) is list else [listed])]
    if len(places) == 1 and places[0].is_dir():
        folder = places[0]
    else:
        folder = Path(os.path.commonpath([it if it.is_dir() else it.parent for it in places]))
    images = [name for place in places for name in _images_of(place, folder)]
    if not images:
        raise UserError(f"{data.path}, {key}: there are no images in {places[0]}.")
    return folder, images


def label_path(image: str) -> str:
    """Return where the labels of an image lie, given its path: /labels/ for its last /images/."""
    above, found, below = f"/{image}".replace(os.sep, "/").rpartition("/images/")
    stem = os.path.splitext(below)[0]  # noqa: PTH122 (thousands)
    return (f"{above}/labels/{stem}.txt" if found else f"{stem}.txt")[1:]


def _find_yaml(root: Path) -> Path:
    named = [root / name for name in FILES if (root / name).is_file()]
    found = named[:1] or sorted(it for end in ("yaml", "yml") for it in root.glob(f"*.{end}"))
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(it.name for it in found[:5])
        raise UserError(f"'{root}' holds {listed}; name one of them: data.root={found[0]}.")
    refuse_other(root, "yolo")
    raise UserError(
        f"There is no data.yaml in '{root}': it names the images and says how many points a face "
        f"has (kpt_shape: [K, 2 or 3]); set data.root=FOLDER or write one."
    )


def _resolve(data: YoloSet, key: str, place: str) -> Path:
    """Return a folder or file of a part, which stands at its place or, moved, at data.yaml's."""
    beside = data.path.parent
    bases = [beside / str(data.content.get("path") or ""), beside]
    inside = place.replace("\\", "/")
    while inside.startswith(("../", "./")):  # Roboflow's begin with ../ and lie beside the file
        inside = inside.partition("/")[2]
    tried = [base / written for base in bases for written in (place, inside)]
    found = next((it for it in tried if it.exists()), None)
    if found is None:
        raise UserError(
            f"{data.path}, {key}: there is no {tried[0]}; correct the path, which starts from "
            f"'path' or from the file's own folder."
        )
    return Path(os.path.normpath(found))


def _images_of(place: Path, folder: Path) -> list[str]:
    """Return the images of a folder, or of a list, as paths below `folder`."""
    if not place.is_dir():
        return list(_listed_in(place, folder))
    before = "" if place == folder else f"{place.relative_to(folder).as_posix()}/"
    images = list(_find_files(place, before, IMAGE_ENDINGS))
    labels = Path(label_path(str(place / "x"))).parent
    if labels != place and labels.is_dir():  # what label files have lost is reported
        known = {os.path.splitext(name)[0] for name in images}  # noqa: PTH122 (thousands)
        stems = (name[: -len(".txt")] for name in _find_files(labels, before, (".txt",)))
        images += [f"{stem}.jpg" for stem in stems if stem not in known]
    return sorted(images)


def _find_files(place: Path, before: str, endings: tuple[str, ...]) -> Iterator[str]:
    for below, files in walk_files(str(place)):
        prefix = f"{before}{below}/" if below else before
        yield from (prefix + name for name in files if ending(name) in endings)


def _listed_in(place: Path, folder: Path) -> Iterator[str]:
    for number, line in enumerate(read_text(place).splitlines(), start=1):
        written = line.strip()
        if written:
            whole = os.path.normpath(place.parent / written)
            try:
                yield Path(whole).relative_to(folder).as_posix()
            except ValueError as error:
                raise UserError(
                    f"{place}, line {number}: '{written[:80]}' lies outside of the file's folder; "
                    f"images start from there."
                ) from error


def _are_numbers(listed: Any) -> bool:
    return isinstance(listed, list) and all(type(it) is int for it in listed)


def _read_flip(path: Path, flip: Any, num_points: int) -> list[int] | None:
    if flip is None or flip == []:
        return None
    if not _are_numbers(flip) or sorted(flip) != [*range(num_points)]:
        raise UserError(
            f"{path}, flip_idx: the numbers 0 to {num_points - 1}, each once, belong here; found "
            f"{_say(flip)}."
        )
    return flip


def _read_classes(path: Path, names: Any) -> dict[int, str]:
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names or {}, dict):
        raise UserError(f"{path}, names: the classes' names belong here; found {_say(names)}.")
    if not _are_numbers([*(names or {})]):
        raise UserError(
            f"{path}, names: a class's number belongs before each name, as in 0: face; found "
            f"{_say(names)}."
        )
    return {number: str(name) for number, name in (names or {}).items()}


def _read_point_names(names: Any, num_points: int) -> list[str]:
    """Return kpt_names, a list or one a class, where it names each point by itself."""
    if isinstance(names, dict):
        names = next(iter(names.values()), None)
    is_whole = isinstance(names, list) and len({*map(str, names)}) == num_points
    return say_names([str(name) for name in names]) if is_whole else []


def _say(value: Any) -> str:
    return "nothing" if value is None else f"'{str(value)[:60]}'"
