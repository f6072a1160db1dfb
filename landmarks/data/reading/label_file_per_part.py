"""The file of labels that `data.train` or `data.test` names, in formats of one file a part."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from landmarks.data.reading.format_signatures import describe_other, refuse_other
from landmarks.data.reading.reader_arguments import FileReading
from landmarks.data.tables.table_rows import is_parquet
from landmarks.errors import UserError
from landmarks.settings import Rule

# Where a file's coordinates have the centre of the first pixel.
FirstPixel = Annotated[float, Rule(lambda v: 0 <= v <= 1, "a number from 0 to 1")]


@dataclass(frozen=True, kw_only=True)
class ImageFolders:
    """The folders that hold the images.

    Args:
        images: the folder that file names start from; None: that of the file of labels.
        test_images: the same of the test faces; None: as `images`.
    """

    images: str | None = None
    test_images: str | None = None


def find_file(train: str, test: str, reader: str, reading: FileReading) -> Path:
    """Return the file of the wanted part.

    Args:
        train, test: the files of the parts.
        reader: the last word of data=..., which is to read it.

    Raises:
        UserError: if there is no such file, or it looks like another reader's.
    """
    named = train if reading.part == "train" else test
    if not named:
        raise UserError(
            f"No file of the {reading.part} faces is known: name it with data={reader} "
            f"data.{reading.part}=FILE"
            + (", or photos with input=FOLDER." if reading.part == "test" else ".")
        )
    path = Path(named)
    if not path.is_file():
        there = describe_other(path, "", but_test=reading.part == "train")
        what = "table" if reader == "table" else "file"
        raise UserError(f"There is no {what} {path}: {there or f'set data.{reading.part}=FILE.'}")
    if not is_parquet(path):
        refuse_other(path, reader)
    return path


def find_images(path: Path, named: ImageFolders, part: str) -> tuple[Path, str]:
    """Return the folder that the names in a part's file start from, its own if none is named, and
    the setting that names it."""
    is_other = part == "test" and named.test_images is not None
    folder = named.test_images if is_other else named.images
    setting = "data.test_images" if is_other else "data.images"
    return path.parent if folder is None else Path(folder), setting
