"""`data=coco`: COCO keypoint files, one face an annotation, with its box."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple

import numpy as np

from landmarks.data.caches.cache_folder import cache_root, describe_source
from landmarks.data.caches.mapped_faces import Arrays, map_faces, to_faces
from landmarks.data.faces import Faces, TrainingPlace
from landmarks.data.formats.coco_annotations import Keys
from landmarks.data.formats.coco_file import CocoFile, choose_faces, load, point_names
from landmarks.data.reading.folder_walk import IMAGE_ENDINGS, ending
from landmarks.data.reading.format_signatures import describe_other, refuse_near
from landmarks.data.reading.json_items import read_members
from landmarks.data.reading.named_points import say_names, take_number
from landmarks.data.reading.part_names import part_of, words_of
from landmarks.data.reading.reader_arguments import FileReading
from landmarks.data.tables.landmarks_csv import FLOAT32_MAX
from landmarks.errors import UserError, say_count
from landmarks.settings import flat

ROBOFLOW = "_annotations.coco.json"
PARTS = {"train": ("train",), "test": ("test", "valid", "val")}  # as their folders are called
VERSION = 4
BLOCK = 1024  # annotations turned into arrays at once


class Places(NamedTuple):
    """An annotation file and the folder of its images."""

    annotations: Path
    images: Path


def find_places(root: Path, part: str, annotations: str | None, images: str | None) -> Places:
    """Return where a part's annotations and images are.

    Args:
        root: what the paths start from.
        annotations: of the JSON file; None: annotations/PART.json, Roboflow's
            PART/_annotations.coco.json, or the only file of annotations/ that names the part.
        images: of their folder; None: that of Roboflow's file, else the one that is named as the
            part or as the file ends, or the only one that begins with the part's name, in `root` or
            in its images/.

    Raises:
        UserError: if there is no such file, or there are several.
    """
    path = _find_annotations(root, part) if annotations is None else root / annotations
    if not path.is_file():
        if annotations is None or not Path(annotations).is_absolute():
            refuse_near(root, *_marks(annotations))
        there = describe_other(root, "", but_test=True) if part == "train" else ""
        advice = there or f"set data.root=FOLDER and data.{part}_annotations=FILE."
        raise UserError(
            f"There is no {path}: the {part} annotations are looked for there; {advice}"
        )
    return Places(path, root / images if images is not None else _find_images(root, part, path))


def list_annotations(root: Path, part: str) -> list[Path]:
    """Return the files that may be a part's annotations where none is named, the best first."""
    names = PARTS[part]
    plain = [root / f"annotations/{name}.json" for name in names]
    roboflow = [root / name / ROBOFLOW for name in names]
    found = [path for path in (*plain, *roboflow) if path.is_file()]
    return found or sorted(
        path for path in (root / "annotations").glob("*.json") if part_of(Path(path.name)) == part
    )


def _find_annotations(root: Path, part: str) -> Path:
    found = list_annotations(root, part)
    is_plain = found and (found[0].name == ROBOFLOW or found[0].stem in PARTS[part])
    if len(found) > 1 and not is_plain:
        listed = ", ".join(str(path.relative_to(root)) for path in found[:5])
        raise UserError(
            f"'{root}' holds several annotations of the {part} faces ({listed}); name one with "
            f"data.{part}_annotations={found[0].relative_to(root)}."
        )
    return found[0] if found else root / f"annotations/{part}.json"


def _find_images(root: Path, part: str, path: Path) -> Path:
    if path.name == ROBOFLOW:
        return path.parent
    # As person_keypoints_train2017.json has its images in train2017/.
    names = [*PARTS[part], path.stem, path.stem.rpartition("_")[2]]
    tried = [folder / name for name in names for folder in (root, root / "images")]
    return next((it for it in [*tried, *_begun(root, part, path)] if it.is_dir()), tried[0])


def _begun(root: Path, part: str, path: Path) -> Iterator[Path]:
    """Yield the only folder that begins with the part's name, as train2017/ does, which has the
    images of coco_wholebody_train_v1.0.json; and images/, before it if images lie there."""
    whole = root / "images"
    if whole.is_dir() and any(ending(it.name) in IMAGE_ENDINGS for it in whole.iterdir()):
        yield whole
    names = tuple(it for it in PARTS[part] if it in words_of(path.stem)) or PARTS[part]
    inside = [it for folder in (root, whole) if folder.is_dir() for it in folder.iterdir()]
    begun = [it for it in inside if it.name.lower().startswith(names) and it.is_dir()]
    if len(begun) == 1:
        yield begun[0]
    yield whole


def _marks(annotations: str | None) -> Iterator[str]:
    if annotations is not None:
        yield annotations
        return
    yield from ("annotations/train.json", f"train/{ROBOFLOW}")


@flat
def read_faces(
    root: str | None,
    *,
    train_annotations: TrainingPlace = None,
    train_images: TrainingPlace = None,
    test_annotations: str | None = None,
    test_images: str | None = None,
    keypoints: str | None = None,
    box: str | None = None,
    valid: str | None = None,
    category: str | None = None,
    reading: FileReading,
) -> Faces:
    """Return the faces of a COCO keypoint file, those of one image beside each other.

    Args:
        root: what the other paths start from; None: the working folder, where the part's file is
            named, else the folder data.
        train_annotations, test_annotations: the JSON files; None: annotations/train.json, or
            Roboflow's train/_annotations.coco.json, or the only one of annotations/ with the part
            in its name.
        train_images, test_images: the folders that hold the images; None: found beside them, see
            `landmarks.data.formats.coco.find_places`.
        keypoints: the annotations' list that holds the points; None: "keypoints", where there is no
            other such as COCO-WholeBody's "face_kpts".
        box: the annotations' list that holds the box; None: "bbox" or, of "face_kpts", "face_box".
        valid: what is false in annotations whose points are none; None: of "face_kpts",
            "face_valid".
        category: name or id of the faces' category; None: the one that has keypoints.

    A keypoint with v=0 is not labelled. Crowds, other categories and, in training, faces without a
    labelled keypoint are left out. Test faces need no keypoints; a test file without annotations
    stands for its images, one face each. Keypoints are used as they are; boxes, which COCO counts
    from the image's corner, move by the half pixel to its first pixel's centre.

    Raises:
        UserError: if there is no such file, it is malformed, or an image cannot be read.
    """
    part = reading.part
    named = {"train": (train_annotations, train_images), "test": (test_annotations, test_images)}
    base = Path(root if root is not None else "data" if named[part][0] is None else ".")
    path, images = find_places(base, part, *named[part])
    keys = Keys(keypoints, box, valid, category)
    source = {**describe_source(path, VERSION), "part": part, "of": keys}
    spool = partial(TemporaryFile, dir=cache_root("coco", reading.cache_dir))
    arrays = map_faces("coco", source, lambda: _read(path, part, keys, spool), reading)
    return to_faces(arrays, images, str(path), reading, named_by=f"data.{part}_images")


def _read(path: Path, part: str, keys: Keys, open_spool: Callable) -> Iterator[Arrays]:
    with open_spool() as spool:
        file = load(path, keys, spool)
        if file.annotations is not None:
            yield from _read_annotations(file, part)
        elif part == "test":
            yield Arrays(file.images.names, None)


def _read_annotations(file: CocoFile, part: str) -> Iterator[Arrays]:
    them = file.annotations
    kept = choose_faces(file, part, them.keys.category)
    pointed = kept[them.counts[kept] > 0]
    first = int(pointed[0]) if len(pointed) else None  # says what K is
    _refuse_faults(file, kept, first)
    names = [] if first is None else _point_names(file, first)
    has_boxes = them.have_boxes[kept].any()
    for start in range(0, len(kept), BLOCK):
        rows = kept[start : start + BLOCK]
        found = None if first is None else them.points(rows, int(them.counts[first]))
        yield Arrays(
            file.images.names[file.places[rows]],
            None if found is None else found[:, :, :2],
            them.boxes[rows] if has_boxes else None,
            None if found is None else found[:, :, 2],
            point_names=names,
        )


def _point_names(file: CocoFile, face: int) -> list[str]:
    """Return the names that a face's category gives its points, if it names these points."""
    them = file.annotations
    names = point_names(file.categories[them.categories[face]])
    is_of_them = them.keys.points == "keypoints" and 3 * len(names) == them.counts[face]
    return say_names([str(name) for name in names]) if is_of_them else []


def _refuse_faults(file: CocoFile, kept: np.ndarray, first: int | None) -> None:
    """Raise UserError for the first of the faces that has a fault, which is read once more."""
    them = file.annotations
    counts, expected = them.counts[kept], 0 if first is None else them.counts[first]
    named = np.array([len(point_names(it)) for it in file.categories])[them.categories[kept]]
    are_odd = them.are_faulty[kept] | ((counts > 0) & (counts != expected))
    are_odd |= (counts > 0) & (counts == 2 * named)
    if not are_odd.any():
        return
    face = int(kept[np.argmax(are_odd)])
    takers = {"annotations": lambda items: next(islice(items, face, None))}
    found = read_members(file.path, takers)["annotations"]
    where = f"{file.path}, annotations[{face}]"
    if first is not None and them.counts[face]:
        _check_points(
            found[them.keys.points],
            f"{where}, {them.keys.points}",
            len(point_names(file.categories[them.categories[face]])),
            first,
            int(expected),
        )
    box = found.get(them.keys.edges)
    values = [] if box is None else _numbers(box, f"{where}, {them.keys.edges}")
    raise UserError(
        f"{where}, {them.keys.edges}: {str(box)[:60]}; x, y, width and height belong here."
        if len(values) != 4 or not np.abs(values).sum() <= FLOAT32_MAX
        else f"{where}: this is not a face."
    )


def _check_points(written: list, where: str, named: int, first: int, expected: int) -> None:
    """Raise UserError for a face's x, y, v, ... that are not right.

    Args:
        named: how many points the face's category names.
        first, expected: the annotation that says how many numbers a face has, and how many.
    """
    values = _numbers(written, where)
    if len(values) == 2 * named:
        raise UserError(f"{where}: x, y pairs without v; write x, y, 2 for each point, or 0, 0, 0.")
    if len(values) != expected or expected % 3:
        raise UserError(
            f"{where}: {say_count(len(values), 'number')}; x, y, v of each point belong here, of "
            f"the same points in every face (annotations[{first}] has "
            f"{say_count(expected, 'number')}); of pairs without v, write x, y, 2 for each point."
        )
    places, seen = np.split(values.reshape(-1, 3), [2], axis=1)
    odd = np.flatnonzero(~np.isin(seen, (0, 1, 2)))
    if len(odd):
        raise UserError(
            f"{where}: v of a point is 0, 1 or 2; found {seen[odd[0], 0]:g} behind point {odd[0]}; "
            f"of x, y pairs without v, write x, y, 2 for each point."
        )
    lost = np.flatnonzero((seen[:, 0] > 0) & np.isnan(places).any(axis=1))
    if len(lost):
        raise UserError(f"{where}: point {lost[0]} has no coordinates, so its v must be 0.")


def _numbers(values: object, where: str) -> np.ndarray:
    """Return a list of numbers as (n,) float64, NaN for null or NaN."""
    if not isinstance(values, list):
        raise UserError(f"{where}: a list of numbers belongs here; found '{str(values)[:40]}'.")
    return np.array([take_number(value, where) for value in values], np.float64)
