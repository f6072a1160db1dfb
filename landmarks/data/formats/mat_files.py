"""`data=mat_files`: a MATLAB file a face beside its image, as 300W-LP and AFLW2000-3D have them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from landmarks.data.caches.mapped_faces import Arrays, map_faces, to_faces
from landmarks.data.faces import Faces
from landmarks.data.images.photos import encode_names
from landmarks.data.reading.label_file_per_image import LabelFile, LabelTree, open_part
from landmarks.data.reading.reader_arguments import FileReading
from landmarks.data.reading.text_file import refuse_placeholder
from landmarks.data.tables.landmarks_csv import FLOAT32_MAX
from landmarks.errors import UserError, did_you_mean, say_count
from landmarks.files import NUMPY_DAMAGE
from landmarks.settings import flat

VERSION = 1
HEAD = 1024  # bytes, in which HDF5 would say that it is
BLOCK = 256  # files turned into arrays at once
# Variables of points, (2, K), (3, K) with a depth, or (K, 2); of those with one K the first counts.
VARIABLES = ("pts_2d", "pt2d", "pt3d_68")


@flat
def read_faces(
    root: str,
    *,
    tree: LabelTree,
    variable: str | None = None,
    one_based: bool = True,
    reading: FileReading,
) -> Faces:
    """Return the faces of all .mat files below a folder, in the order of their paths.

    Args:
        root: any tree of folders.
        tree: see `LabelTree`.
        variable: that holds the points, (2, K), (3, K) or (K, 2); None: pts_2d, pt2d or pt3d_68,
            whichever the first file has; where it has several of other K, it is asked for.
        one_based: the first pixel is (1, 1), as in MATLAB; False: (0, 0).

    Raises:
        UserError: if there are no such files, one is malformed, or an image cannot be read.
    """
    listed, source = open_part(root, ".mat", reading.part, tree, "mat_files")
    source |= {"points": [variable, one_based], "version": VERSION}
    arrays = map_faces(
        "mat_files",
        source,
        lambda: _read(Path(root), listed, variable),
        reading,
        first_pixel=float(one_based),
    )
    return to_faces(
        arrays, tree.images_from(root), root, reading, linked=True, named_by="data.images"
    )


def _read(root: Path, listed: list[LabelFile], variable: str | None) -> Iterator[Arrays]:
    shape = None
    for start in range(0, len(listed), BLOCK):
        block, points = listed[start : start + BLOCK], []
        for file in block:
            path = root / file.path
            content = _load(path)
            if variable is None:
                variable = _choose(path, content)
            points.append(_find_points(path, content, variable))
            shape = shape or points[-1].shape
            if points[-1].shape != shape:
                raise UserError(
                    f"{path}, {variable}: {say_count(len(points[-1]), 'point')} where "
                    f"{root / listed[0].path} has {shape[0]}; all faces need the same points."
                )
        names = encode_names([file.image for file in block], str(root))
        yield Arrays(names, np.array(points, np.float32))


def _load(path: Path) -> dict[str, np.ndarray]:
    """Return the numbers of a MATLAB file by their names."""
    with path.open("rb") as file:
        is_hdf5 = b"\x89HDF" in file.read(HEAD)
    if is_hdf5:
        raise UserError(
            f"{path} is a MATLAB file of version 7.3, which is HDF5: save it in MATLAB with "
            f"-v7, or write its points to a CSV (data=table); COFW's own are read by data=cofw."
        )
    refuse_placeholder(path, "MATLAB file")
    try:
        content = loadmat(path)
    except (MatReadError, NotImplementedError, *NUMPY_DAMAGE) as error:
        reason = " ".join(str(error).split())[:150]
        raise UserError(
            f"{path}: not a MATLAB file that can be read ({reason}): it was damaged or cut off; "
            f"get it again, or leave it out of the folder."
        ) from error
    return {key: it for key, it in content.items() if not key.startswith("__")}


def _choose(path: Path, content: dict[str, np.ndarray]) -> str | None:
    """Return the first of `VARIABLES` that a file has; None: it has none.

    Raises:
        UserError: if it has several, of other numbers of points.
    """
    counts = {name: max(content[name].shape, default=0) for name in VARIABLES if name in content}
    if len({*counts.values()}) > 1:
        listed = ", ".join(f"{name} of {say_count(n, 'point')}" for name, n in counts.items())
        most = max(counts, key=counts.__getitem__)
        raise UserError(
            f"{path} holds several variables of points: {listed}; name the one that is meant with "
            f"data.variable={most}."
        )
    return next(iter(counts), None)


def _find_points(path: Path, content: dict[str, np.ndarray], variable: str | None) -> np.ndarray:
    """Return the points (K, 2) of a file, NaN where one is missing."""
    if variable is None or variable not in content:
        there = ", ".join(sorted(content)) or "nothing"
        near = did_you_mean(variable, content) if variable else ""
        raise UserError(
            f"{path}: there is no {variable or ' or '.join(VARIABLES)}, but {there}; name the "
            f"points' with data.variable=NAME.{near}"
        )
    values = np.asarray(content[variable])
    is_table = values.ndim == 2 and values.dtype.kind in "iuf" and min(values.shape) in (2, 3)
    if not is_table or max(values.shape) < 2:
        raise UserError(
            f"{path}, {variable}: x and y of the points belong here, 2 x K or K x 2; found "
            f"{' x '.join(map(str, values.shape))} of {values.dtype}."
        )
    points = (values.T if len(values) in (2, 3) else values)[:, :2].astype(np.float64)
    if (np.abs(points) > FLOAT32_MAX).any():
        raise UserError(f"{path}, {variable}: {np.abs(points).max():g} is no coordinate.")
    points[~np.isfinite(points).all(axis=1)] = np.nan
    return points
