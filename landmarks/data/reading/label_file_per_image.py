"""Trees of label files, one an image, and which image each belongs to."""

import hashlib
import logging
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from landmarks.data.images.decoding import stamp
from landmarks.data.reading.folder_walk import IMAGE_ENDINGS, UNREAD_ENDINGS, ending, walk_files
from landmarks.data.reading.format_signatures import refuse_other
from landmarks.errors import UserError, say_count, say_some

log = logging.getLogger(__name__)
# Names of folders of images that stand beside folders of labels; the first there is counts.
IMAGE_FOLDERS = ("images", "image", "imgs", "img", "pictures", "picture", "photos", "jpegimages")
TEST_FOLDERS = ("test", "testset")


@dataclass(frozen=True, kw_only=True)
class LabelTree:
    """Where the images of label files are, and which files are of the test part.

    Args:
        images: a folder that holds the images in the same tree as the label files; None: they lie
            beside these, or in a folder beside theirs, as LaPa's landmarks/ and images/ do.
        test_folders: names, or paths such as lfpw/testset, of folders anywhere below the root: what
            lies in them is the test part, all else the training part; None: the usual names.
    """

    images: str | None = None
    test_folders: list[str] | None = None

    def images_from(self, root: str) -> Path:
        """Return the folder that the images' paths start from."""
        return Path(root if self.images is None else self.images)


class LabelFile(NamedTuple):
    """A label file, as a path below its root, and the folder and name of its image below theirs."""

    path: str
    folder: str
    name: str

    @property
    def image(self) -> str:
        """The image's path."""
        return self.folder + self.name


def list_label_files(
    root: str,
    suffix: str,
    is_wanted: Callable[[str], bool],
    images: str | None = None,
    is_label: Callable[[Path], bool] = lambda path: True,
) -> list[LabelFile]:
    """Return the label files below a folder, in the order of their paths.

    Args:
        suffix: what follows an image's name, with or without its ending, in the name of a label
            file, lower case.
        is_wanted: says of a folder, as a path from the root, whether its files are.
        images: a folder with the images in the same tree; None: they lie beside their labels, or in
            a folder beside one that holds the labels.
        is_label: says of a file without an image whether it is one of labels; others are left out
            with a warning.

    A label file without an image gets the name that is then reported missing, NAME.jpg, where its
    image was looked for.

    Raises:
        UserError: if a folder cannot be read, or several may be that of the images.
    """
    finder, listed, others = _ImageFinder(root, images), [], []
    for below, files in walk_files(root):
        if not is_wanted(below):
            continue
        prefix = f"{below}/" if below else ""
        beside = None if images else _Images(prefix, files)
        lost = []
        for name in files:
            if not name.lower().endswith(suffix):
                continue
            stem = name[: -len(suffix)]
            found = beside.find(stem) if beside is not None else None
            found = found or finder.find(below, stem)
            if found is None and not is_label(Path(root, prefix + name)):
                others.append(prefix + name)
            elif found is None:
                lost.append((prefix + name, f"{stem}.jpg"))
            else:
                listed.append(LabelFile(prefix + name, *found))
        place = prefix if beside is not None and beside.endings else finder.place(below)
        listed += [LabelFile(path, place, name) for path, name in lost]
    if others:
        few = say_some(others, 3)
        log.warning(f"Skipped {say_count(len(others), 'file')} without labels in {root}: {few}.")
    return sorted(listed)


def open_part(
    root: str,
    suffix: str,
    part: Literal["train", "test"],
    tree: LabelTree,
    kind: str,
    is_label: Callable[[Path], bool] = lambda path: True,
) -> tuple[list[LabelFile], dict]:
    """Return the label files of a part of a data set, and what a cache of them depends on.

    Args:
        suffix, is_label: see `list_label_files`.
        kind: the last word of data=....

    Raises:
        UserError: if there are none, or a folder cannot be read.
    """
    folders = list(TEST_FOLDERS) if tree.test_folders is None else tree.test_folders
    is_test = in_folders(folders)
    listed = list_label_files(
        root, suffix, lambda below: is_test(below) == (part == "test"), tree.images, is_label
    )
    if not listed:
        refuse_other(Path(root), kind)
        raise UserError(
            f"No {part} faces in '{root}': {suffix} files beside their images are looked for in "
            f"all folders {'named' if part == 'test' else 'but'} "
            f"{', '.join(folders) or 'none'}; set data.root=FOLDER or data.test_folders=[NAME,...]."
        )
    base = Path(root)
    return listed, {
        "path": f"{base.resolve()}, {part} faces",  # both parts of one root have their own caches
        "files": describe_files(base, (file.path for file in listed)),
        "images": describe_images(listed),
    }


def in_folders(names: Iterable[str]) -> Callable[[str], bool]:
    """Return what says whether a path leads through one of the named folders, or paths of them."""
    wanted = [f"/{name.strip('/').casefold()}/" for name in names]
    return lambda path: any(name in f"/{path.casefold()}/" for name in wanted)


def describe_files(root: Path, paths: Iterable[str]) -> str:
    """Return a text that changes where the list of files below a folder, or one of them, does."""
    state = hashlib.sha256()
    for path in paths:
        told = f"{path}\t{stamp(os.path.join(root, path))}\n"  # noqa: PTH118 (thousands)
        state.update(os.fsencode(told))
    return state.hexdigest()


def describe_images(listed: Iterable[LabelFile]) -> str:
    """Return a text that changes where an image has another name or place."""
    state = hashlib.sha256()
    for file in listed:
        state.update(os.fsencode(f"{file.image}\n"))
    return state.hexdigest()


class _Images:
    """The images of one folder, found by name in constant time."""

    def __init__(self, prefix: str, files: Iterable[str]):
        self.prefix, self.files = prefix, set(files)
        there = sorted({os.path.splitext(name)[1] for name in self.files})  # noqa: PTH122
        # An image that cannot be read is named where there is no other of that name.
        kinds = (IMAGE_ENDINGS, UNREAD_ENDINGS)
        self.endings = [one for kind in kinds for one in there if one.lower() in kind]
        self.composed: dict[str, str] | None = None

    def find(self, stem: str) -> tuple[str, str] | None:
        """Return the folder and name of an image, given its name with or without its ending."""
        for name in (stem, *(stem + one for one in self.endings)):
            if name in self.files and ending(name) in (*IMAGE_ENDINGS, *UNREAD_ENDINGS):
                return self.prefix, name
        return None if stem.isascii() else self._find_composed(stem)

    def _find_composed(self, stem: str) -> tuple[str, str] | None:
        """Do the same where accents are written in Unicode's other form, as a Mac writes them."""
        if self.composed is None:
            self.composed = {_compose(name): name for name in self.files if not name.isascii()}
        names = (stem, *(stem + one for one in self.endings))
        found = next((it for name in names if (it := self.composed.get(_compose(name)))), None)
        return None if found is None else (self.prefix, found)


class _ImageFinder:
    """Finds the images that do not lie beside their labels."""

    def __init__(self, root: str, images: str | None):
        self.root, self.images = root, images
        self.swaps: list[tuple[str, str]] = []  # (name of a folder, that beside it), as found
        self.below: str | None = None  # the folder of the labels: the files come folder by folder
        self.folders: list[_Images] = []  # of its images, as told or as an image was found there
        self.known: list[_Images] = []  # where those of other folders would have them
        self.others: list[tuple[_Images, tuple[str, str]]] | None = None  # beside it

    def find(self, below: str, stem: str) -> tuple[str, str] | None:
        if self.below != below:
            self._open(below)
        if not self.folders:  # the first images may be missing
            self.folders = self._choose(below, stem)
        return next((it for images in self.folders if (it := images.find(stem))), None)

    def place(self, below: str) -> str:
        """Return in which folder, a path with its /, the images of the last labels were sought."""
        named = [images for images, swap in self.others or () if _is_named(swap)]
        looked = self.folders or [*self.known, *named]
        found = next((images for images in looked if images.files), next(iter(looked), None))
        return found.prefix if found else f"{below}/" if below else ""

    def _open(self, below: str) -> None:
        self.below, self.others = below, None
        self.folders = [] if self.images is None else [self._list(self.images, below)]
        known = [place for swap in self.swaps if (place := _swap(below, *swap)) is not None]
        self.known = [self._list(self.root, place) for place in known]

    def _choose(self, below: str, stem: str) -> list[_Images]:
        """Return the folders that hold an image, and so the others of labels in one folder."""
        if any(images.find(stem) for images in self.known):
            return self.known
        if self.others is None:
            listed = [(self._list(self.root, place), swap) for swap, place in self._beside(below)]
            named = [it for name in IMAGE_FOLDERS for it in listed if it[1][1].casefold() == name]
            kinds = (named, listed)  # beside images/, a folder of masks holds no images
            with_images = ([it for it in kind if it[0].endings] for kind in kinds)
            self.others = next(filter(None, with_images), named)
        found = [(images, swap) for images, swap in self.others if images.find(stem)]
        if len(found) > 1 and not _is_named(found[0][1]):
            places = ", ".join(sorted(images.prefix.rstrip("/") for images, _ in found))
            raise UserError(
                f"{self.root}: images of '{below}' lie in several folders beside it ({places}); "
                f"name that of the labels and that of the images: data.root=FOLDER "
                f"data.images=FOLDER."
            )
        self.swaps += [swap for _, swap in found[:1]]
        return [images for images, _ in found[:1]]

    def _beside(self, below: str) -> Iterator[tuple[tuple[str, str], str]]:
        """Yield ((name, other), path): `below` with one of its names replaced, the last first."""
        parts = below.split("/") if below else []
        for i in reversed(range(len(parts))):
            above = os.path.join(self.root, *parts[:i])  # noqa: PTH118
            for other in sorted(entry.name for entry in os.scandir(above) if entry.is_dir()):
                if other != parts[i] and not other.startswith("."):
                    yield (parts[i], other), "/".join([*parts[:i], other, *parts[i + 1 :]])

    def _list(self, root: str, below: str) -> _Images:
        place = os.path.join(root, below)  # noqa: PTH118
        files = os.listdir(place) if os.path.isdir(place) else []  # noqa: PTH112, PTH208
        return _Images(f"{below}/" if below else "", files)


def _is_named(swap: tuple[str, str]) -> bool:
    """Return whether a folder beside another has the name of one of images."""
    return swap[1].casefold() in IMAGE_FOLDERS


def _swap(below: str, name: str, other: str) -> str | None:
    """Return a path with its last `name` replaced by `other`; None if it has none."""
    parts = below.split("/")
    if name not in parts:
        return None
    at = len(parts) - 1 - parts[::-1].index(name)
    return "/".join([*parts[:at], other, *parts[at + 1 :]])


def _compose(name: str) -> str:
    return unicodedata.normalize("NFC", name)
