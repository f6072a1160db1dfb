"""`data=ibug`: 300-W and its like, images with a .pts file of the same name beside them."""

from dataclasses import replace

from landmarks.data.faces import Faces
from landmarks.data.formats.points import read_point_files
from landmarks.data.reading.label_file_per_image import LabelTree
from landmarks.data.reading.reader_arguments import StoredReading
from landmarks.settings import flat

TEST_FOLDERS = ["testset", "ibug"]


@flat
def read_faces(
    root: str,
    *,
    tree: LabelTree,
    one_based: bool = True,
    reading: StoredReading,
) -> Faces:
    """Return the faces of all .pts files below a folder, in the order of their paths.

    Args:
        root: any tree of folders; that of 300-W holds afw, helen/trainset, helen/testset,
            lfpw/trainset, lfpw/testset and ibug.
        tree: see `LabelTree`; its test_folders, if None, are testset and ibug, as the 300-W
            protocol has it.
        one_based: the first pixel is (1, 1), as in MATLAB and in 300-W; False: (0, 0).

    A file's header and braces may be left out, as in many copies, or be a count of points alone.

    Raises:
        UserError: if there are no such files, one is malformed, or an image cannot be read.
    """
    if tree.test_folders is None:
        tree = replace(tree, test_folders=TEST_FOLDERS)
    return read_point_files("ibug", root, ".pts", tree, one_based, reading)
