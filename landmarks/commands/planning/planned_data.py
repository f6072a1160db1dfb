"""What a plan knows of the data: those that are here, or as many as there are to be."""

import logging
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from landmarks.commands.preparing.instantiate import build
from landmarks.commands.training_run.train_settings import TrainSettings
from landmarks.commands.training_run.training_inputs import weigh
from landmarks.data.batches.cached_crops import choose_margin
from landmarks.data.batches.cropped_faces import CroppedFaces
from landmarks.data.batches.loader import Batches
from landmarks.data.crops.boxes import frame_faces
from landmarks.data.faces import Faces
from landmarks.data.images.decoding import read_bytes
from landmarks.errors import UserError
from landmarks.synthetic.write_faces import write_faces

log = logging.getLogger(__name__)
LOOKED_AT = 32  # photos that are read to measure
DRAWN = 8  # where there are none
NAME_BYTES = 40  # of a face's file name, about
STAMP_BYTES = 72  # of a canvas beside its pixels: matrix and stamp
POINT_BYTES = 8


class PlannedData(NamedTuple):
    """Faces of a training to be.

    training, validation: how many; seen: faces that an epoch shows; points: K; photo_bytes: of a
    file; reading: seconds of a core, for a face decoded and cropped; drawn: photos are drawn, as
    there are no others; source: what to call them.
    """

    training: int
    validation: int
    seen: int
    points: int
    photo_bytes: float
    reading: float
    drawn: bool
    source: str

    @property
    def faces(self) -> int:
        """All faces."""
        return self.training + self.validation

    @property
    def label_bytes(self) -> int:
        """Of the labels, kept in binary."""
        return self.faces * (POINT_BYTES * self.points + NAME_BYTES)


def side_of(settings: TrainSettings) -> int:
    """Return the side of a cached face, pixels."""
    return settings.input_size + 2 * choose_margin(settings.crop, settings.input_size)


def face_bytes(settings: TrainSettings) -> int:
    """Return the bytes of a cached face."""
    return 3 * side_of(settings) ** 2 + STAMP_BYTES


def open_data(settings: TrainSettings, faces: int | None, points: int | None) -> PlannedData:
    """Read the labels and some photos, as training would; draw some where points= says how many.

    Args:
        faces: there will be so many; None: as many as there are.
        points: of a face; None: the data are read.

    Raises:
        UserError: as `landmarks train` does for data that cannot be read; for points alone.
    """
    if points is None:
        return _read(settings, faces)
    if faces is None:
        raise UserError(
            f"points={points} plans without data and needs their size: add faces=NUMBER, or leave "
            "points out."
        )
    with TemporaryDirectory() as folder:
        write_faces(Path(folder), DRAWN, 1, settings.seed)
        names = sorted((Path(folder) / "train/images").iterdir())
        drawn = Faces(names[0].parent, np.array([name.name.encode() for name in names]))
        size, seconds = look_at(settings, drawn, "letterbox")
    training, validation = share_out(settings, faces)
    told = "faces that are not here"
    return PlannedData(training, validation, training, points, size, seconds, True, told)


def _read(settings: TrainSettings, wanted: int | None) -> PlannedData:
    try:
        read = build(settings.data, part="train")
    except UserError as error:
        raise UserError(
            f"{error} To plan without the data, give faces=NUMBER points=NUMBER."
        ) from error
    leave_out = settings.box_from == "points" or settings.data["on_error"] == "skip"
    framing = settings.crop, settings.box_margin, settings.box_from, leave_out
    faces, crop = frame_faces(read, *framing)
    training, validation = build(settings.split, faces, seed=settings.seed)
    weights = weigh(faces, training)
    shown = 1.0 if weights is None else float(weights.mean())
    size, seconds = look_at(settings, faces, crop)
    counts = len(training), len(validation)
    if wanted is not None:
        counts = share_out(settings, wanted, len(validation) / sum(counts))
    seen = max(1, round(shown * counts[0]))
    return PlannedData(*counts, seen, faces.num_points, size, seconds, False, faces.source)


def share_out(settings: TrainSettings, faces: int, share: float | None = None) -> tuple[int, int]:
    """Return how many of so many faces are trained and validated on.

    Args:
        share: validated on; None: as the split says.

    Raises:
        UserError: if there are too few.
    """
    if faces < 2:
        raise UserError(f"faces={faces}: at least 2 are needed, to train and to validate on.")
    if share is None:
        folds = settings.split["folds"]
        share = 1 / folds if folds else settings.split["share"]
    validation = min(faces - 1, max(1, round(share * faces)))
    return faces - validation, validation


def look_at(settings: TrainSettings, faces: Faces, crop) -> tuple[float, float]:
    """Return the bytes of a photo's file, and the seconds of a core that make it a face.

    Args:
        faces: some of which are read.
        crop: as `frame_faces` returns it.

    Raises:
        UserError: at an unreadable one, with data.on_error=stop.
    """
    usable = faces.usable
    rows = np.unique(usable[np.linspace(0, len(usable) - 1, LOOKED_AT).astype(int)])
    source = CroppedFaces(
        faces, crop, settings.input_size, choose_margin(crop, settings.input_size)
    )
    batches = Batches(source, rows, batch_size=8, on_error=settings.data["on_error"])
    started = time.process_time()
    for _ in batches:
        pass
    seconds = time.process_time() - started
    files = [read_bytes(faces.path(row)) for row in rows]
    sizes = [len(content) for content in files if content is not None]
    return float(np.mean(sizes)) if sizes else 0.0, seconds / len(rows)
