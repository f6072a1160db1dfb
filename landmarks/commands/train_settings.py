"""The settings of `landmarks train`; configs/train.yaml says what each of them means."""

from dataclasses import asdict, dataclass

from landmarks.data.boxes import BoxSource
from landmarks.geometry import CropName
from landmarks.settings import (
    Count,
    Duration,
    InputSize,
    NonNegative,
    Positive,
    PositiveInt,
    Share,
    Threads,
    Workers,
)
from landmarks.training.precision import AmpName, DeviceName

OF_A_START = ("resume", "run_dir")  # a checkpoint, which may be moved, does not keep them


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """All that a training is told, of configs/train.yaml."""

    data: dict
    layout: dict
    model: dict
    loss: dict
    optimizer: dict
    scheduler: dict
    split: dict
    augment: dict
    input_size: InputSize
    crop: CropName
    box_margin: NonNegative
    box_from: BoxSource
    epochs: PositiveInt | None
    max_time: Duration | None
    batch_size: PositiveInt
    accumulate: PositiveInt
    clip: Positive | None
    ema: Share
    flip_test: bool
    seed: Count
    device: DeviceName
    amp: AmpName
    compile: bool
    workers: Workers
    threads: Threads
    tensorboard: bool
    pictured_region: str
    init: str | None
    resume: str | None
    name: str | None
    run_dir: str

    def to_config(self) -> dict:
        """Return the settings as a checkpoint keeps them: plain JSON data."""
        return {key: value for key, value in asdict(self).items() if key not in OF_A_START}
