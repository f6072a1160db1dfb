"""Predictions for labelling tools, face by face as they come. Imports no torch."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from landmarks.data.faces import Faces
from landmarks.data.images.decoding import image_size
from landmarks.errors import UserError
from landmarks.inference.finder import Finder
from landmarks.outputs.label_tool_files import PLACES, Labelled, label_files

log = logging.getLogger(__name__)
Take = Callable[[np.ndarray, np.ndarray], None]


@contextmanager
def open_labels(
    out: Path, kind: str, finder: Finder, faces: Faces, rounded: bool
) -> Iterator[Take]:
    """Yield what takes rows (n,) of faces and their points (n, K, 2), NaN where unknown.

    Args:
        out: the folder that the files go to.
        kind: of `landmarks.outputs.label_tool_files.label_files`; "csv" and "npz" are written
            elsewhere.
        finder: says what the points are called.
        rounded: to whole pixels.

    Raises:
        UserError: if the format cannot hold the faces.
    """
    if kind in ("csv", "npz"):
        yield lambda rows, points: None
        return
    if kind == "pts" and len(set(faces.names.tolist())) < len(faces):
        raise UserError(
            "format=pts has one face an image, and some images show several: use format=coco, cvat "
            "or labelme."
        )
    # Names of our own making, such as brow_3, would come back in the order of letters.
    layout = finder.layout
    numbers = [str(point) for point in range(layout.num_points)]
    names = layout.names or (layout.point_names() if kind == "coco" else numbers)
    with label_files(kind, out, names, Path(faces.folder)) as labels:

        def take(rows: np.ndarray, points: np.ndarray) -> None:
            for row, found in zip(rows.tolist(), points, strict=True):
                size = image_size(faces.path(row), faces.exif)
                if size is not None:  # what cannot be read has nothing to be labelled
                    shown = np.rint(found) if rounded else found
                    labels.add(Labelled(faces.name(row), size, shown))

        yield take
    log.info(f"For {kind}: {out / PLACES[kind]}")
