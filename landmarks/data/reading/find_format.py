"""Which reader a folder is for, by what lies in it: `data=auto`."""

import json
import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from landmarks.data.formats.coco import list_annotations
from landmarks.data.formats.label_studio import UPLOADED
from landmarks.data.reading.folder_walk import IMAGE_ENDINGS, ending
from landmarks.data.reading.format_signatures import (
    HEAD,
    folders_below,
    kind_of,
    refuse_damaged,
    refuse_other,
)
from landmarks.data.reading.part_names import is_of_validation, part_of
from landmarks.data.shards.shard_index import PACK
from landmarks.data.tables.table_columns import find_columns
from landmarks.data.tables.table_rows import read_first, read_header, refuse_nested
from landmarks.errors import UserError, say_some

MAX_FILES = 20_000  # files of a folder that are looked at
MAX_NAMES, MAX_FOLDERS = 8, 64  # names in a file of labels, and folders that may hold them
IMAGE_NAME = re.compile(
    rf"[^\"'<>=,;|\t\r\n]+\.({'|'.join(it[1:] for it in IMAGE_ENDINGS)})\b", re.IGNORECASE
)
MAX_OF_AN_ENDING = 8  # of each ending and folder
ENDINGS = (
    ".yaml",
    ".yml",
    ".json",
    ".xml",
    ".pts",
    ".csv",
    ".tsv",
    ".parquet",
    ".pq",
    ".txt",
    ".mat",
)
IMAGE_FOLDERS = ("images", "image", "imgs", "img", "photos", "data", "img_align_celeba")
OF_FILES = ("table", "dlib", "cvat", "label_studio")  # readers of data.train and data.images


class Format(NamedTuple):
    """A reader, the last word of data=..., its settings, and why it is taken."""

    name: str
    settings: dict[str, str]
    why: str


def find_format(root: Path) -> Format | None:
    """Return the reader for what lies in a folder, or for a file; None where nothing is known.

    Raises:
        UserError: if several readers might be meant, or several files.
    """
    if root.is_file():
        refuse_image(root)
        return _of_found({_kind(root): [root]}, root.parent)
    if not root.is_dir():
        return None
    whole = _find_whole(root)
    if whole is not None:
        return whole
    of_contest = [it for it in folders_below(root) if (it / "train/landmarks.csv").is_file()]
    if of_contest:
        raise UserError(f"No faces in '{root}' itself: did you mean data.root={of_contest[0]}?")
    found: dict[str, list[Path]] = {}
    for path in _some_files(root):
        found.setdefault(_kind(path), []).append(path)
    unread = found.pop("", [])
    if "yolo" in found and len(found) > 1:  # its label files alone are read by nothing
        found.pop("yolo")
    labels = [path for paths in found.values() for path in paths]
    if not labels or not all(_is_of(path, "test", root) for path in labels):
        return _of_found(found, root)
    for path in unread:  # of the training faces, perhaps
        refuse_damaged(path)
    return _as_test(_of_found(found, root)) if len(labels) == 1 else _of_found(found, root)


def refuse_image(root: Path) -> None:
    """Raise UserError if a data set's root is an image."""
    if ending(root.name) in IMAGE_ENDINGS and root.is_file():
        raise UserError(
            f"data.root={root} is an image: name the folder that holds the images and their labels."
        )


def require_format(root: Path) -> Format:
    """Return what `find_format` finds.

    Raises:
        UserError: if it finds none; see also there.
    """
    found = find_format(root)
    if found is None:
        for path in _some_files(root) if root.is_dir() else [root]:
            refuse_nested(path)
        refuse_other(root, "table")
        _refuse_table(root)
        raise UserError(
            f"No labels of a known kind in '{root}': set data.root=FOLDER, or name the format with "
            f"data=NAME (docs/data.md lists them)."
        )
    return found


def _refuse_table(root: Path) -> None:
    """Raise UserError for what is wrong with the columns of the only table in a folder."""
    paths = [path for path in _some_files(root) if kind_of(path).reader == "table"]
    if len(paths) == 1:
        header = read_header(paths[0])
        find_columns(paths[0], header, None, None, read_first(paths[0]))


def of_store(root: str) -> Format:
    """Return the reader of a store's address, of which there is one."""
    return Format("shards", {"root": root}, "it is the address of a store")


def _find_whole(root: Path) -> Format | None:
    """Return the reader of a data set whose folder cannot be mistaken."""
    if (root / PACK).is_file():
        return Format("shards", {"root": str(root)}, f"there is {root / PACK}")
    for base in (root, root / "contest01_data"):
        if (base / "train/landmarks.csv").is_file() or (base / "test/test_points.csv").is_file():
            named = base / "train/landmarks.csv"
            return Format("thousand", {"root": str(root)}, f"{named} is the contest's")
    for name in ("training.csv", "IdLookupTable.csv"):
        if (root / name).is_file() and _kind(root / "training.csv") == "facial_keypoints":
            return Format("facial_keypoints", {"root": str(root)}, f"{root / name} is Kaggle's")
    for name in ("WFLW_annotations", "WFLW_images", "list_98pt_rect_attr_train_test"):
        if (root / name).is_dir():
            return Format("wflw", {"root": str(root)}, f"there is {root / name}")
    for name in ("data.yaml", "data.yml", "dataset.yaml"):
        if (root / name).is_file() and _kind(root / name) == "yolo":
            return Format("yolo", {"root": str(root)}, f"{root / name} is YOLO's")
    annotations = [path for path in list_annotations(root, "train") if _kind(path) == "coco"]
    if annotations:
        return Format("coco", {"root": str(root)}, f"{annotations[0]} holds COCO keypoints")
    return None


def _of_found(found: dict[str, list[Path]], root: Path) -> Format | None:
    """Return the one reader of the files found."""
    found.pop("", None)
    if not found:
        return None
    if len(found) > 1:
        told = "; ".join(f"{paths[0]} (data={name})" for name, paths in sorted(found.items()))
        raise UserError(
            f"'{root}' holds labels of several kinds: {told}. Say which is meant with data=NAME."
        )
    ((name, paths),) = found.items()
    if name in OF_FILES:
        return _of_files(name, paths, root)
    if name == "coco":
        return _of_coco(paths, root)
    if name == "yolo":
        root = next((path.parent for path in paths if path.suffix in (".yaml", ".yml")), root)
    if name == "cofw":
        root = paths[0].parent
    return Format(name, {"root": str(root)}, f"{paths[0]} looks like {kind_of(paths[0]).what}")


def _of_coco(paths: list[Path], root: Path) -> Format:
    """Return the reader of annotations that lie where COCO has none."""
    train = _choose(paths, "coco", "train_annotations", root)
    settings = {"root": str(root)}
    for part, path in (("train", train), ("test", _find_test(paths, train, root))):
        if path is not None:
            images = _find_images(path, root).relative_to(root).as_posix() or "."
            settings[f"{part}_annotations"] = path.relative_to(root).as_posix()
            settings[f"{part}_images"] = images
    return Format("coco", settings, f"{train} holds COCO keypoints")


def _of_files(name: str, paths: list[Path], root: Path) -> Format:
    """Return the reader of the file that holds the training faces."""
    train = _choose(paths, name, "train", root)
    test = _find_test(paths, train, root)
    settings = {"train": str(train), "test": ""}
    images = _find_images(train, root)
    if images != train.parent:
        settings["images"] = str(images)
    if test is not None:
        settings["test"] = str(test)
        of_test = _find_images(test, root)
        if of_test != (images if "images" in settings else test.parent):
            settings["test_images"] = str(of_test)
    return Format(name, settings, f"{train} looks like {kind_of(train).what}")


def _as_test(form: Format) -> Format:
    """Return a reader whose only file is of test faces: nobody is to train on these because the
    others are away."""
    if form.name == "coco":
        return form._replace(
            settings={key.replace("train_", "test_"): it for key, it in form.settings.items()}
        )
    if form.name not in OF_FILES:
        return form
    settings = {"train": "", "test": form.settings["train"]}
    if "images" in form.settings:
        settings["test_images"] = form.settings["images"]
    return form._replace(settings=settings)


def _choose(paths: list[Path], name: str, key: str, root: Path) -> Path:
    """Return the file of the training faces, by its name, if there are several.

    Raises:
        UserError: if the names do not say which it is.
    """
    others = [path for path in paths if not _is_of(path, "test", root)]
    for some in (paths, [path for path in paths if _is_of(path, "train", root)], others):
        if len(some) == 1:
            return some[0]
    listed = say_some(paths, 4)
    raise UserError(
        f"Several files hold labels ({listed}); name that of the training faces: data={name} "
        f"data.{key}={others[0] if others else 'FILE'}."
    )


def _find_test(paths: list[Path], train: Path, root: Path) -> Path | None:
    """Return the one file of test faces beside that of the training ones; of validation faces if
    there is no other."""
    tests = [path for path in paths if _is_of(path, "test", root) and path != train]
    if len(tests) > 1:
        tests = [path for path in tests if not is_of_validation(path.relative_to(root))]
    return tests[0] if len(tests) == 1 else None


def _is_of(path: Path, part: str, root: Path) -> bool:
    return part_of(path.relative_to(root)) == part


def _find_images(file: Path, root: Path) -> Path:
    """Return the folder that the images' names in a file of labels start from."""
    folders = [file.parent, root, *(root / name for name in IMAGE_FOLDERS)]
    folders += (inner := _folders_in(root))
    deeper = [it for one in inner for it in _folders_in(one)][:MAX_FOLDERS]  # as zips unpack
    named = _image_names(file)
    # As they are written, or the last name alone, without what Label Studio puts before it.
    last = [UPLOADED.sub("", name.rpartition("/")[2]) for name in named]
    for names, tried in ((named, [*folders, *deeper]), (last, folders)):
        for folder in tried:
            if any((folder / name).is_file() for name in names):
                return folder
    return file.parent


def _folders_in(folder: Path) -> list[Path]:
    return sorted(it for it in islice(folder.iterdir(), MAX_FILES) if it.is_dir())[:MAX_FOLDERS]


def _image_names(file: Path) -> list[str]:
    """Return the first names of images in a file of text."""
    with file.open("rb") as text:
        head = text.read(HEAD).decode("utf-8", "replace")
    found = dict.fromkeys(
        match[0].strip() for match in islice(IMAGE_NAME.finditer(head), MAX_NAMES)
    )
    return [_unescape(name).replace("\\", "/").lstrip("/") for name in found]


def _unescape(name: str) -> str:
    """Return a name as JSON means it, if it is one of JSON."""
    try:
        return json.loads(f'"{name}"')
    except json.JSONDecodeError:
        return name


def _some_files(root: Path) -> Iterator[Path]:
    """Yield the first files of each ending in each folder, links and hidden ones left out."""
    seen = 0
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        counts = dict.fromkeys(ENDINGS, 0)
        for name in sorted(names):
            ending = os.path.splitext(name)[1].lower()  # noqa: PTH122 (thousands)
            seen += 1
            if ending in counts and not name.startswith(".") and counts[ending] < MAX_OF_AN_ENDING:
                counts[ending] += 1
                yield Path(folder, name)
        if seen > MAX_FILES:
            return


def _kind(path: Path) -> str:
    """Return the reader that a file is for; "" where it has none, or is a table without points."""
    try:
        name = kind_of(path).reader
        if name != "table":
            return name
        header = read_header(path)
        points = find_columns(path, header, None, None, read_first(path)).points
        # CelebA's list_bbox_celeba.csv: x_1, y_1 is a corner, and a list of boxes is no labels.
        is_corner = len(points) == 2 and {"width", "height"} <= {it.casefold() for it in header}
        return name if points and not is_corner else ""
    except (UserError, OSError):
        return ""
