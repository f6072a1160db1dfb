"""The settings of a command that opens a model to find points."""

from dataclasses import dataclass
from typing import Annotated, Any

from landmarks.inference.ensemble import EnsembleName
from landmarks.inference.opening import SEVERAL, Sources
from landmarks.settings import AmpName, DecoderName, DeviceName, Gpus, Threads


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """Which model, and how it finds points."""

    checkpoint: Sources
    ensemble: Annotated[EnsembleName, SEVERAL]
    one_at_a_time: Annotated[bool, SEVERAL]
    decoder: DecoderName | None
    flip_test: bool | None
    device: DeviceName
    gpus: Gpus
    amp: AmpName
    threads: Threads

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
