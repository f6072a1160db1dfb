"""`data=thousand`: the layout of Kaggle's "Thousand Facial Landmarks", with any point count."""

from dataclasses import replace
from pathlib import Path

from landmarks.data.caches.mapped_faces import Arrays, to_faces
from landmarks.data.faces import Faces
from landmarks.data.reading.format_signatures import refuse_near, refuse_other
from landmarks.data.reading.reader_arguments import StoredReading
from landmarks.data.tables.contest_test_points import read_test_points
from landmarks.data.tables.landmarks_csv import map_labels
from landmarks.errors import UserError
from landmarks.settings import flat


@flat
def read_faces(root: str, *, reading: StoredReading) -> Faces:
    """Return the labelled training faces, or the test faces with the points asked of each.

    Args:
        root: holds train/images, train/landmarks.csv, test/images and test_points.csv (in test/ or
            in root itself), directly or under contest01_data/.

    Raises:
        UserError: if the folder holds nothing of the kind, a file is malformed, or an image cannot
            be read.
    """
    part = reading.part
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
        names, points = map_labels(labels, reading.cache_dir, reading.missing)
        return to_faces(Arrays(names, points), images, str(labels), reading)
    folders = (base / "test", base, Path(root))  # it was a download of its own
    listed = [folder / "test_points.csv" for folder in folders]
    found = next((path for path in listed if path.is_file()), None)
    if found is None:
        raise UserError(
            f"There is no {listed[0]}: put the contest's file there, or name the images with "
            f"input={images}."
        )
    names, wanted = read_test_points(found)
    faces = to_faces(Arrays(names, None), images, str(found), reading)
    return replace(faces, wanted=wanted[: reading.limit])


def find_root(root: Path) -> Path:
    """Return `root` or its contest01_data/, whichever holds train/ or test/.

    Raises:
        UserError: if neither does.
    """
    for base in (root, root / "contest01_data"):
        if (base / "train").is_dir() or (base / "test").is_dir():
            return base
    if not root.exists():
        raise UserError(
            f"There is no folder '{root}': set data.root=FOLDER to the contest's data, or use "
            f"data=synthetic for synthetic faces."
        )
    refuse_near(root, "train/landmarks.csv", "test/images", "contest01_data/train")
    refuse_other(root, "thousand")
    raise UserError(
        f"No faces in '{root}': looked for train/images, train/landmarks.csv and test/images there "
        f"and in contest01_data/. Put the contest's data there or set data.root=FOLDER, or use "
        f"data=synthetic for synthetic faces."
    )
