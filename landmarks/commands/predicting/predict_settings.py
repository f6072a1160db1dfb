"""The settings of `landmarks predict`; configs/predict.yaml says what each of them means."""

from dataclasses import dataclass
from typing import Annotated, Literal

from landmarks.commands.preparing.shared_settings import ModelSettings, OutputFolder
from landmarks.data.crops.boxes import BoxSource
from landmarks.data.faces import ExifName, OnError
from landmarks.data.images.video_frames import is_clip
from landmarks.outputs.label_tool_files import FormatName
from landmarks.settings import (
    Graph,
    GroupOf,
    Needs,
    NonNegative,
    Positive,
    PositiveInt,
    Rule,
    Workers,
)

FROM_DATA = Needs("/input", None)
ELSEWHERE = Rule(lambda value: value != "whole", "detect or a file")
CLIP = Needs("input", Rule(is_clip, ""), "input=CLIP, a clip or a camera")
PHOTOS = Needs("input", Rule(lambda place: not is_clip(place), ""), "input that is no clip")
SMOOTHED = Needs("smooth", "one_euro")


@dataclass(frozen=True, kw_only=True)
class OtherData:
    """What prediction changes in the settings of the data that a model was trained on."""

    root: Annotated[str | None, FROM_DATA]
    cache_dir: Annotated[str | None, FROM_DATA]
    limit: PositiveInt | None
    on_error: OnError
    exif: ExifName | None


@dataclass(frozen=True, kw_only=True)
class PredictSettings(ModelSettings, OutputFolder):
    """All that a prediction is told, of configs/predict.yaml."""

    data: Annotated[dict, GroupOf(OtherData)]
    input: str | None
    faces: str
    detector: Annotated[str | None, Needs("faces", "detect")]
    looks: Annotated[Literal[1, 2], Needs("faces", ELSEWHERE, "faces=detect or faces=FILE"), PHOTOS]
    smooth: Annotated[Literal["none", "one_euro"], CLIP]
    smooth_cutoff: Annotated[Positive, SMOOTHED]
    smooth_beta: Annotated[NonNegative, SMOOTHED]
    annotate: Annotated[bool, CLIP]
    round: bool | None
    format: Literal["csv", "npz", FormatName]
    npz: bool
    confidence: bool
    box_from: Annotated[BoxSource | None, PHOTOS]
    box_margin: Annotated[NonNegative | None, PHOTOS]
    heatmaps: Annotated[bool, PHOTOS]
    other_points: Annotated[bool, PHOTOS]
    batch_size: Annotated[PositiveInt, PHOTOS]
    graph: Graph
    workers: Annotated[Workers, PHOTOS]
