"""Where a COCO data set has its annotations and its images."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from landmarks.data.reading.folder_walk import IMAGE_ENDINGS, ending
from landmarks.data.reading.format_signatures import describe_other, refuse_near
from landmarks.errors import UserError

ROBOFLOW = "_annotations.coco.json"
PARTS = {"train": ("train",), "test": ("test", "valid", "val")}  # as their folders are called


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
        there = describe_other(root, "") if part == "train" else ""
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
        path
        for path in (root / "annotations").glob("*.json")
        if any(name in path.stem.lower() for name in names)
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
    names = tuple(it for it in PARTS[part] if it in path.stem.lower()) or PARTS[part]
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
