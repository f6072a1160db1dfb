"""`data=points`: a text file of x and y a face, beside its image or in a folder of its own."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from landmarks.data.faces import Faces
from landmarks.data.folder_walk import IMAGE_ENDINGS, ending, walk_files
from landmarks.data.formats.label_files import open_part
from landmarks.data.formats.point_text import holds_points, read_files
from landmarks.data.mapped import map_faces, to_faces
from landmarks.data.reading import FileReading
from landmarks.data.recognise import refuse_other
from landmarks.errors import UserError
from landmarks.settings import flat

VERSION = 3
SAMPLE = 2000  # folders, and files of each, whose names are looked at for the suffix
ENDINGS = (".pts", ".txt", ".lms", ".points", ".csv")  # of files of points


@flat
def read_faces(
    root: str,
    *,
    images: str | None = None,
    suffix: str | None = None,
    test_folders: list[str] | None = None,
    one_based: bool = False,
    reading: FileReading,
) -> Faces:
    """Return the faces of all text files of points below a folder, in the order of their paths.

    Args:
        root: any tree of folders.
        images: a folder that holds the images in the same tree; None: they lie beside the text
            files, or in a folder beside theirs, as LaPa's landmarks/ and images/ do.
        suffix: what a text file's name has behind that of its image: .txt, _ldmks.txt, .jpg.txt;
            None: it is found by the images' names.
        test_folders: names, or paths, of folders anywhere below root: what lies in them is the
            test part, all else the training part; None: test and testset.
        one_based: the first pixel is (1, 1), as in .pts files; False: (0, 0).

    A file may begin with a count of its points, or with a header and a brace, as .pts files do.

    Raises:
        UserError: if there are no such files, one is malformed, or an image cannot be read.
    """
    suffix = _find_suffix(root, images) if suffix is None else suffix.lower()
    return read_point_files("points", root, suffix, images, test_folders, one_based, reading)


def read_point_files(
    kind: str,
    root: str,
    suffix: str,
    images: str | None,
    test_folders: list[str] | None,
    one_based: bool,
    reading: FileReading,
) -> Faces:
    """Return the faces of text files, see `read_faces`; `kind` is the last word of data=...."""
    base = Path(root)
    listed, source = open_part(root, suffix, reading.part, test_folders, images, kind, holds_points)
    source |= {"one_based": one_based, "version": VERSION}
    folder = base if images is None else Path(images)
    first = float(one_based)
    arrays = map_faces(
        kind,
        source,
        lambda: read_files(base, listed, folder, kind),
        reading,
        first_pixel=first,
    )
    return to_faces(arrays, folder, root, reading, linked=True, named_by="data.images")


def _find_suffix(root: str, images: str | None) -> str:
    """Return what follows the images' names in the names of files of points.

    Raises:
        UserError: if there are no such files, or it is one thing here and another there.
    """
    names = {name for name in _first_files(images or root) if ending(name) in IMAGE_ENDINGS}
    names |= {name.rpartition(".")[0] for name in names}
    texts = [name for name in _first_files(root) if ending(name) in ENDINGS]
    found: Counter = Counter()
    for name in texts:
        cuts = [i for i, sign in enumerate(name) if sign in "._-"]
        cut = next((i for i in reversed(cuts) if name[:i] in names), None)
        if cut is not None:
            found[name[cut:].lower()] += 1
    if not found:  # the images are reported missing
        found.update(ending(name) for name in texts)
    if len(found) > 1:
        listed = ", ".join(sorted(found))
        raise UserError(
            f"'{root}': names of text files end in {listed} behind the images' names; name the one "
            f"that holds points with data.suffix={found.most_common(1)[0][0]}."
        )
    if not found:
        refuse_other(Path(root), "points")
        raise UserError(
            f"No text files ({', '.join(ENDINGS)}) in '{root}': one a face is looked for at any "
            f"depth; set data.root=FOLDER or data.suffix=ENDING."
        )
    return next(iter(found))


def _first_files(root: str) -> Iterator[str]:
    """Yield the names of the first files of each of the first folders."""
    for _, files in islice(walk_files(root), SAMPLE):
        yield from files[:SAMPLE]
