"""`data=auto`: looks at what lies in a folder, and takes the reader that it is for."""

import importlib
import logging
from dataclasses import asdict
from pathlib import Path

from landmarks.data.faces import Faces
from landmarks.data.find_format import find_format
from landmarks.data.reading import FileReading, Reading
from landmarks.errors import UserError
from landmarks.settings import flat

log = logging.getLogger(__name__)


@flat
def read_faces(root: str, *, reading: FileReading) -> Faces:
    """Return the faces of a folder or file by the reader that `find_format` finds for it.

    Raises:
        UserError: if none is found, or several may be meant; see also the reader.
    """
    found = find_format(Path(root))
    if found is None:
        raise UserError(
            f"No labels of a known kind in '{root}': set data.root=FOLDER, or name the format with "
            f"data=NAME (docs/data.md lists them)."
        )
    log.info(f"'{root}' is read as data={found.name}: {found.why}.")
    module = importlib.import_module(f"landmarks.data.formats.{found.name}")
    given = asdict(reading)
    if found.name == "facial_keypoints":  # its files leave no doubts
        given = {key: given[key] for key in asdict(Reading())}
    files = {"test": ""} if "train" in found.settings else {}
    return module.read_faces(**{**files, **found.settings}, **given)
