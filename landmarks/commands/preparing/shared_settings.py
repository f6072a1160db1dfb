"""Settings that several commands share: the model, the crop, the folder written to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from landmarks.data.crops.boxes import BoxSource
from landmarks.distributed.processes import is_main
from landmarks.geometry import CropName
from landmarks.inference.ensemble import EnsembleName
from landmarks.inference.finder_protocol import Framing
from landmarks.inference.open_model import SEVERAL, Sources
from landmarks.settings import (
    AmpName,
    DecoderName,
    DeviceName,
    Gpus,
    Needs,
    NonNegative,
    PositiveInt,
    RunName,
    Threads,
    Workers,
)

BOXED = Needs("crop", "box")


@dataclass(frozen=True, kw_only=True)
class OutputFolder:
    """The settings that every command has which leaves files."""

    name: RunName
    run_dir: str

    def make_folder(self) -> Path:
        """Return the folder, made where it is missing, by the process that writes there."""
        folder = Path(self.run_dir)
        if is_main():
            folder.mkdir(parents=True, exist_ok=True)
        return folder


@dataclass(frozen=True, kw_only=True)
class CropSettings:
    """Which part of an image is the model's input."""

    crop: CropName
    box_margin: Annotated[NonNegative, BOXED]
    box_from: Annotated[BoxSource, BOXED]


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
