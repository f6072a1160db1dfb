"""What is known of a training to be before any step of it is measured."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from torch import nn

from landmarks.commands.planning.planned_data import POINT_BYTES, PlannedData, face_bytes
from landmarks.commands.planning.step_times import time_gather
from landmarks.commands.training_run.device_cache import spare_memory
from landmarks.commands.training_run.train_settings import TrainSettings
from landmarks.commands.training_run.training_inputs import Inputs
from landmarks.errors import UserError
from landmarks.machine import count_cores
from landmarks.training.memory_estimate import Estimate
from landmarks.training.scaling import Machine
from landmarks.training.training_state import Training

Source = Literal["device", "disk", "ram", "photos"]
MATRIX_BYTES = 24  # of a face on a device beside its pixels and points
LOSS_MESSAGES = 2  # a step: the number of labels, and the mean loss
WORDS = {
    "device": "the GPU's memory",
    "disk": "the cache on the disk, filled before",
    "ram": "the cache in main memory, filled before",
    "photos": "the photos, decoded anew each epoch",
}


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
