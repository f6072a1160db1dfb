"""The settings of `landmarks train`; configs/train.yaml says what each of them means."""

from dataclasses import asdict, dataclass
from typing import Annotated, Literal

from landmarks.commands.preparing.shared_settings import CropSettings, OutputFolder
from landmarks.data.split import Folds
from landmarks.layout import Layout
from landmarks.runs.search_study import Search
from landmarks.settings import (
    AmpName,
    Count,
    DeviceName,
    Duration,
    Gpus,
    Graph,
    GroupOf,
    InputSize,
    Needs,
    Positive,
    PositiveInt,
    Rule,
    Several,
    Share,
    Threads,
    Workers,
)

WITH_A_LOSS = Needs(
    "/model.proposals", None, "a model without losses of its own, such as model=resnet34"
)
WITH_HEATMAPS = Needs(
    "/model.stride",
    Rule(lambda stride: stride is not None, ""),
    "a model with heatmaps, such as model=unet_resnet18",
)
OF_A_START = ("resume", "run_dir")  # a checkpoint, which may be moved, does not keep them


@dataclass(frozen=True, kw_only=True)
class TrainSettings(CropSettings, OutputFolder):
    """All that a training is told, of configs/train.yaml."""

    data: dict
    layout: Annotated[dict, GroupOf(Layout)]
    model: dict
    loss: Annotated[dict, WITH_A_LOSS]
    optimizer: dict
    scheduler: dict
    logger: Annotated[dict, Several()]
    split: dict
    augment: dict
    input_size: InputSize
    epochs: PositiveInt | None
    max_time: Duration | None
    patience: PositiveInt | None
    batch_size: PositiveInt | Literal["auto"]
    accumulate: PositiveInt
    clip: Positive | None
    ema: Share
    flip_test: bool
    seed: Count
    device: DeviceName
    gpus: Gpus
    amp: AmpName
    compile: bool
    graph: Graph
    workers: Workers
    threads: Threads
    report: bool
    pictured_region: Annotated[str, WITH_HEATMAPS]
    search: Annotated[dict | None, GroupOf(Search)]
    kfold: Folds | None
    fold: Annotated[Count | None, Needs("kfold", Rule(lambda v: v is not None, ""), "kfold=NUMBER")]
    init: str | None
    resume: str | None

    def to_config(self) -> dict:
        """Return the settings as a checkpoint keeps them: plain JSON data."""
        return {key: value for key, value in asdict(self).items() if key not in OF_A_START}
