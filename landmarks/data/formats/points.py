"""`data=points`: a text file of x and y a face, beside its image or in a folder of its own."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from landmarks.data.caches.mapped_faces import map_faces, to_faces
from landmarks.data.faces import Faces
from landmarks.data.reading.folder_walk import IMAGE_ENDINGS, ending, walk_files
from landmarks.data.reading.format_signatures import refuse_other
from landmarks.data.reading.label_file_trees import LabelTree, open_part
from landmarks.data.reading.point_text import holds_points, read_files
from landmarks.data.reading.reader_arguments import FileReading
from landmarks.errors import UserError
from landmarks.settings import flat

VERSION = 3
SAMPLE = 2000  # folders, and files of each, whose names are looked at for the suffix
ENDINGS = (".pts", ".txt", ".lms", ".points", ".csv")  # of files of points


@flat
def read_faces(
    root: str,
    *,
    tree: LabelTree,
    suffix: str | None = None,
    one_based: bool = False,
    reading: FileReading,
) -> Faces:
    """Return the faces of all text files of points below a folder, in the order of their paths.

    Args:
        root: any tree of folders.
        tree: see `LabelTree`.
        suffix: what a text file's name has behind that of its image: .txt, _ldmks.txt, .jpg.txt;
            None: it is found by the images' names.
        one_based: the first pixel is (1, 1), as in .pts files; False: (0, 0).

    A file may begin with a count of its points, or with a header and a brace, as .pts files do.

    Raises:
        UserError: if there are no such files, one is malformed, or an image cannot be read.
    """
    suffix = _find_suffix(root, tree.images) if suffix is None else suffix.lower()
    return read_point_files("points", root, suffix, tree, one_based, reading)


def read_point_files(
    kind: str, root: str, suffix: str, tree: LabelTree, one_based: bool, reading: FileReading
) -> Faces:
    """Return the faces of text files, see `read_faces`; `kind` is the last word of data=...."""
    listed, source = open_part(root, suffix, reading.part, tree, kind, holds_points)
    source |= {"one_based": one_based, "version": VERSION}
    folder = tree.images_from(root)
    arrays = map_faces(
        kind,
        source,
        lambda: read_files(Path(root), listed, folder, kind),
        reading,
        first_pixel=float(one_based),
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
