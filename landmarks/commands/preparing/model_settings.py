"""The settings of a command that opens a model to find points."""

from dataclasses import dataclass
from typing import Annotated, Any

from landmarks.data.crops.boxes import BoxSource
from landmarks.inference.combine_points import EnsembleName
from landmarks.inference.finder import Framing
from landmarks.inference.open_model import SEVERAL, Sources
from landmarks.settings import (
    AmpName,
    DecoderName,
    DeviceName,
    Gpus,
    NonNegative,
    PositiveInt,
    Threads,
    Workers,
)


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """Which model, and how it finds points.

    A command's own settings say anew, of some of these, what they depend on there.
    """

    data: dict
    checkpoint: Sources
    ensemble: Annotated[EnsembleName, SEVERAL]
    one_at_a_time: Annotated[bool, SEVERAL]
    decoder: DecoderName | None
    flip_test: bool | None
    device: DeviceName
    gpus: Gpus
    amp: AmpName
    threads: Threads
    box_from: BoxSource | None
    box_margin: NonNegative | None
    batch_size: PositiveInt
    workers: Workers

    def opening(self) -> dict[str, Any]:
        """Return the arguments of `open_finder`, but for the checkpoint."""
        return {
            "ensemble": self.ensemble,
            "one_at_a_time": self.one_at_a_time,
            "threads": self.threads,
            "device": self.device,
            "amp": self.amp,
            "decoder": self.decoder,
            "flip_test": self.flip_test,
        }

    def framing(self) -> Framing:
        """Return how faces are given to the model."""
        return Framing(
            batch_size=self.batch_size,
            box_from=self.box_from,
            box_margin=self.box_margin,
            on_error=self.data["on_error"],
            workers=self.workers,
        )
