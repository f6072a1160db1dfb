"""What is known of a training to be before any step of it is measured: its faces, its settings."""

import logging
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple

import numpy as np
from torch import nn

from landmarks.commands.planning.step_times import time_gather
from landmarks.commands.preparing.config_groups import build
from landmarks.commands.training_run.device_cache import spare_memory
from landmarks.commands.training_run.train_settings import TrainSettings
from landmarks.commands.training_run.training_inputs import Inputs, weigh
from landmarks.data.batches.cached_crops import choose_margin
from landmarks.data.batches.cropped_faces import CroppedFaces
from landmarks.data.batches.loader import Batches
from landmarks.data.crops.boxes import frame_faces
from landmarks.data.faces import Faces
from landmarks.data.images.decoding import read_bytes
from landmarks.errors import UserError
from landmarks.machine import count_cores
from landmarks.synthetic.write_faces import write_faces
from landmarks.training.memory_estimate import Estimate
from landmarks.training.scaling_model import Machine
from landmarks.training.training_state import Training

log = logging.getLogger(__name__)
LOOKED_AT = 32  # photos that are read to measure
DRAWN = 8  # where there are none
NAME_BYTES = 40  # of a face's file name, about
STAMP_BYTES = 72  # of a canvas beside its pixels: matrix and stamp
POINT_BYTES = 8
Source = Literal["device", "disk", "ram", "photos"]
MATRIX_BYTES = 24  # of a face on a device beside its pixels and points
LOSS_MESSAGES = 2  # a step: the number of labels, and the mean loss
WORDS = {
    "device": "the GPU's memory",
    "disk": "the cache on the disk, filled before",
    "ram": "the cache in main memory, filled before",
    "photos": "the photos, decoded anew each epoch",
}


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


@dataclass(frozen=True)
class Planned:
    """What is known before any step is measured: of settings, machine, data and model.

    needed: by a step of batches of its own size, None: it cannot be counted; free: bytes there are
    for a rank, None: not known.
    """

    settings: TrainSettings
    machine: Machine
    data: PlannedData
    training: Training
    inputs: Inputs
    needed: Estimate | None
    free: float | None

    @property
    def on_gpu(self) -> bool:
        """Will it train on a GPU?"""
        return self.machine.rate is not None or self.training.precision.device.type == "cuda"

    @property
    def cores(self) -> int:
        """Cores of a machine."""
        return self.machine.cores or count_cores()

    def source(self) -> Source:
        """Return where the faces of a batch come from."""
        cache = self.settings.data.get("cache", "auto")
        if cache == "off":
            return "photos"
        if cache in ("auto", "device") and self.on_gpu and self.free is not None:
            pixels = face_bytes(self.settings) + POINT_BYTES * self.data.points + MATRIX_BYTES
            free = int(self.free - (self.needed.weights if self.needed else 0))
            if self.data.faces * pixels + spare_memory(cache, free, self.needed) < free:
                return "device"
        return "ram" if cache == "ram" else "disk"

    def say_source(self) -> str:
        """Return it in words."""
        return WORDS[self.source()]

    @property
    def flops(self) -> float:
        """Operations of a training step, a face.

        Raises:
            UserError: if they cannot be counted.
        """
        if self.needed is None:
            raise UserError(
                "The arithmetic of this model cannot be counted: plan it on the machine itself."
            )
        return self.needed.flops

    @property
    def tensors(self) -> int:
        """Tensors of weights."""
        return len(list(self.training.model.parameters()))

    @property
    def is_recorded(self) -> bool:
        """Is the step of one GPU recorded?"""
        is_wanted = self.settings.graph is not False and not self.settings.compile
        return is_wanted and self.training.model.recordable

    @cached_property
    def gather(self) -> float:
        """Seconds in which a face comes from the cache, measured."""
        return time_gather(self.inputs)

    def messages(self) -> int:
        """Return the small messages of a step: those of batch norms over all ranks, and of losses.

        Forward and backward pass of each norm ask the other ranks once.
        """
        norms = 0
        if self.settings.model.get("sync_norm"):
            parts = self.training.model.backbone.modules()
            norms = sum(isinstance(part, nn.BatchNorm2d) for part in parts)
        return 2 * norms + LOSS_MESSAGES

    def gradient_bytes(self) -> int:
        """Return the bytes that are averaged over the ranks."""
        trained = [p for p in self.training.model.parameters() if p.requires_grad]
        return sum(p.numel() * p.element_size() for p in trained)
