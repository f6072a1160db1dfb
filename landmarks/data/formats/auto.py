"""`data=auto`: looks at what lies in a folder, and takes the reader that it is for."""

import importlib
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from landmarks.data.faces import ExifName, Faces
from landmarks.data.reading.find_format import of_store, require_format
from landmarks.data.reading.reader_arguments import FileReading, Reading
from landmarks.data.shards.shard_store import is_remote
from landmarks.settings import flat

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class AutoReading(FileReading):
    """`FileReading` of a format that is not known yet.

    Args:
        exif: None: as that format has it.
    """

    exif: ExifName | None = None


@flat
def read_faces(root: str, *, reading: AutoReading) -> Faces:
    """Return the faces of a folder or file by the reader that `find_format` finds for it.

    Raises:
        UserError: if none is found, or several may be meant; see also the reader.
    """
    found = of_store(root) if is_remote(root) else require_format(Path(root))
    log.info(f"'{root}' is read as data={found.name}: {found.why}.")
    module = importlib.import_module(f"landmarks.data.formats.{found.name}")
    given = asdict(reading)
    if reading.exif is None:
        del given["exif"]
    if found.name in ("facial_keypoints", "shards"):  # their files leave no doubts
        given = {key: given[key] for key in asdict(Reading())}
    return module.read_faces(**found.settings, **given)
