"""`data=dlib`: dlib's XML, as imglab writes it; one face a box, with its parts."""

from collections.abc import Iterator
from pathlib import Path

from landmarks.data.caches.cache_folder import describe_source
from landmarks.data.caches.mapped_faces import map_faces, to_faces
from landmarks.data.faces import Faces, TrainingPath
from landmarks.data.reading.label_file_per_part import ImageFolders, find_file, find_images
from landmarks.data.reading.named_points import Face, parse_number, read_faces_named, take_number
from landmarks.data.reading.reader_arguments import StoredReading
from landmarks.data.reading.text_fields import parse_name
from landmarks.data.reading.xml_elements import read_elements
from landmarks.errors import UserError
from landmarks.settings import flat

VERSION = 3


@flat
def read_faces(
    train: TrainingPath,
    test: str,
    *,
    folders: ImageFolders,
    reading: StoredReading,
) -> Faces:
    """Return the faces of a file of dlib's imglab, one a box, in the file's order.

    Args:
        train, test: the XML files; that of `test` need hold no parts.
        folders: see `ImageFolders`.

    Points are the parts, in the order of their numbers, or of their names, and `point_names` are
    these, if they do not count from 0 or 1. A part that a box lacks is missing. Boxes with
    ignore='1' and, in training, boxes without parts are left out.

    Raises:
        UserError: if there is no such file, it is malformed, or an image cannot be read.
    """
    path, part = find_file(train, test, "dlib", reading), reading.part
    source = {**describe_source(path, VERSION), "part": part}
    arrays = map_faces(
        "dlib",
        source,
        lambda: read_faces_named(str(path), lambda: _faces(path), part, "box"),
        reading,
    )
    folder, setting = find_images(path, folders, reading.part)
    return to_faces(arrays, folder, str(path), reading, named_by=setting)


def _faces(path: Path) -> Iterator[Face]:
    """Yield the boxes of a file."""
    found: list[Face] = []
    image, face = b"", None

    def start(tag: str, written: dict[str, str], where: str) -> None:
        nonlocal image, face
        if tag == "image":
            image = parse_name(written.get("file", ""), where)
        elif tag == "box":
            if not image:
                raise UserError(f"{where}: a box belongs inside of an image.")
            face = Face(image, {}, _read_box(written, where), written.get("ignore") == "1")
        elif tag == "part":
            name = written.get("name", "")
            if face is None or not name or name in face.places:
                raise UserError(
                    f"{where}: a part has a name of its own, and belongs inside of a box; found "
                    f"'{name[:40]}'."
                )
            x, y = (parse_number(written.get(it), f"{where}, part '{name}', {it}") for it in "xy")
            face.places[name] = x, y

    def end(tag: str, _: str) -> None:
        nonlocal face
        if tag == "box" and face is not None:
            found.append(face)
            face = None

    return read_elements(path, found, start, end)


def _read_box(written: dict[str, str], where: str) -> tuple[float, float, float, float]:
    """Return the edges of a box, which holds whole pixels: from its first one's to its last's."""
    left, top, width, height = (
        parse_number(written.get(edge), f"{where}, {edge} of the box")
        for edge in ("left", "top", "width", "height")
    )
    right, bottom = (
        take_number(edge, f"{where}, far edge of the box") for edge in (left + width, top + height)
    )
    return left - 0.5, top - 0.5, right - 0.5, bottom - 0.5
