"""`data=thousand`: the layout of Kaggle's "Thousand Facial Landmarks", with any point count."""

from pathlib import Path
from typing import Literal

from landmarks.data.doubts import MissingName
from landmarks.data.faces import CacheName, Excluded, ExifName, Faces, OnError
from landmarks.data.formats.landmarks_csv import map_labels
from landmarks.data.formats.test_points import read_test_points
from landmarks.data.images import check_images
from landmarks.data.recognise import refuse_other
from landmarks.errors import UserError
from landmarks.settings import PositiveInt


def read_faces(
    root: str,
    *,
    part: Literal["train", "test"] = "train",
    missing: MissingName = None,
    cache_dir: str | None = None,
    limit: PositiveInt | None = None,
    on_error: OnError = "stop",
    cache: CacheName = "auto",
    exclude: Excluded = None,
    exif: ExifName = "rotate",
) -> Faces:
    """Return the labelled training faces, or the test faces with the points asked of each.

    Args:
        root: holds train/images, train/landmarks.csv, test/images and test_points.csv (in test/ or
            in root itself), directly or under contest01_data/.
        part: "train" or "test".
        missing: see `landmarks.data.doubts.Doubts`.
        cache_dir: where the labels are kept in binary; None: the user's cache folder.
        limit: only so many faces, the first ones; None: all.
        on_error: "stop" at unreadable images with their list, or "skip" them and say how many.
        cache: see `Faces`.
        exclude: training faces to leave out, see `landmarks.data.exclude.read_names`.
        exif: see `Faces`.

    Raises:
        UserError: if the folder holds nothing of the kind, a file is malformed, or an image cannot
            be read.
    """
    base = find_root(Path(root))
    images = base / part / "images"
    if not images.is_dir():
        refuse_other(base, "table")  # as its own files are tables
        raise UserError(f"There is no folder {images}: {part} faces are looked for there.")
    if part == "train":
        labels = base / "train" / "landmarks.csv"
        if not labels.is_file():
            refuse_other(base, "table")
            raise UserError(f"There is no {labels}: the training points are looked for there.")
        names, points = map_labels(labels, cache_dir, missing)
        faces = Faces(
            images,
            names[:limit],
            points[:limit],
            source=str(labels),
            cache=cache,
            cache_dir=cache_dir,
            exif=exif,
        )
        return check_images(faces, on_error, cache_dir, decode=True, exclude=exclude)
    folders = (base / "test", base, Path(root))  # it was a download of its own
    listed = [folder / "test_points.csv" for folder in folders]
    found = next((path for path in listed if path.is_file()), None)
    if found is None:
        raise UserError(
            f"There is no {listed[0]}: put the contest's file there, or name the images with "
            f"input={images}."
        )
    names, wanted = read_test_points(found)
    faces = Faces(images, names[:limit], wanted=wanted[:limit], source=str(found), exif=exif)
    return check_images(faces, on_error, cache_dir, decode=False)


def find_root(root: Path) -> Path:
    """Return `root` or its contest01_data/, whichever holds train/ or test/.

    Raises:
        UserError: if neither does.
    """
    for base in (root, root / "contest01_data"):
        if (base / "train").is_dir() or (base / "test").is_dir():
            return base
    refuse_other(root, "thousand")
    raise UserError(
        f"No faces in '{root}': looked for train/images, train/landmarks.csv and test/images there "
        f"and in contest01_data/. Put the contest's data there or set data.root=FOLDER, or use "
        f"data=synthetic for synthetic faces."
    )
