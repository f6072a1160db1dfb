"""`landmarks predict`: a model and images -> predictions, a picture and a submission."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from tqdm import tqdm

from landmarks.commands.faces_to_predict import open_faces
from landmarks.commands.model_settings import ModelSettings
from landmarks.commands.output_folder import OutputFolder
from landmarks.commands.predict_clip import predict_clip
from landmarks.commands.predicted_labels import open_labels
from landmarks.commands.predicted_pictures import Album
from landmarks.data.boxes import BoxSource
from landmarks.data.face_detector import WHERE
from landmarks.data.faces import ExifName, Faces, OnError
from landmarks.data.frames import is_clip
from landmarks.errors import UserError, say_count
from landmarks.inference.looks import (
    boxes_of_detector,
    boxes_of_file,
    look_at_faces,
    open_detector,
)
from landmarks.inference.model import Finder
from landmarks.inference.opening import open_finder
from landmarks.runs.labelling import FormatName
from landmarks.runs.lookup_submission import LookupSubmission
from landmarks.runs.predictions import PredictionFile
from landmarks.runs.submission import Submission
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

log = logging.getLogger(__name__)
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


def predict(settings: PredictSettings) -> int:
    """Predict; return the exit code."""
    out = Path(settings.run_dir)
    refuse_predicted(out)
    predictor = _open(settings)
    if is_clip(settings.input):
        return predict_clip(settings, predictor)
    faces = open_faces(predictor, settings.data, settings.input, settings.other_points)
    framing = {
        "box_from": settings.box_from,
        "box_margin": settings.box_margin,
        "on_error": settings.data["on_error"],
    }
    if settings.faces == "whole":
        batches = predictor.batches(
            faces, batch_size=settings.batch_size, workers=settings.workers, **framing
        )
        faces, stream = batches.source.faces, predictor.predict(batches)
    else:
        batches, faces = None, _find_faces(settings, faces)
        asked = {"batch_size": settings.batch_size, "on_error": settings.data["on_error"]}
        stream = look_at_faces(predictor, faces, looks=settings.looks, workers=0, **asked)
    unlabelled = predictor.unlabelled
    # The contest's labels are whole pixels; those of Facial Keypoints are not.
    rounded = faces.asked is None if settings.round is None else settings.round
    strips = _heatmaps_of(predictor) if settings.heatmaps else None
    album = Album(out, faces, strips)
    bar = tqdm(total=len(faces), desc="predicting", unit="face", disable=None)
    file = PredictionFile(
        out,
        faces.names,
        predictor.num_points,
        rounded=rounded,
        npz=is_npz(settings),
        unlabelled=unlabelled,
        boxes=faces.boxes,
        certainty=predictor.certainty,
        columns=settings.confidence,
        tell_all=settings.faces != "whole",
    )
    submission = _open_submission(faces)
    labels = open_labels(out, settings.format, predictor, faces, rounded)
    with file as written, labels as label, bar:
        for batch, points, sure in stream:
            written.add(points, sure)
            rows = np.asarray(batch.rows)
            if submission is not None:
                submission.add(points, rows)
            points[:, unlabelled] = np.nan
            label(rows, points)
            album.add(batch, points)
            bar.update(len(rows))
    log.info(f"{say_count(len(faces), 'face')}, all points: {out / 'predictions.csv'}")
    if batches is not None and batches.unreadable:
        log.warning(
            f"Missing or unreadable images: {len(batches.unreadable)}, "
            f"'{faces.name(min(batches.unreadable))}' first; they keep their rows, with "
            "points that are guesses."
        )
    if submission is not None:
        _submit(settings, submission, rounded)
    album.save()
    return 0


def _open(settings: PredictSettings) -> Finder:
    finder = open_finder(settings.checkpoint, graph=settings.graph, **settings.opening())
    if settings.confidence and finder.certainty == "none":
        raise UserError(
            f"confidence=true: {finder.description} does not know how sure it is; leave it out, or "
            f"name several checkpoints, whose spread is then written."
        )
    return finder


def _find_faces(settings: PredictSettings, photos: Faces) -> Faces:
    """Return the faces of photos, one a row, with boxes.

    Raises:
        UserError: if there are none, or what finds them does not.
    """
    if settings.faces != "detect":
        return boxes_of_file(photos, Path(settings.faces))
    if settings.detector is None:
        raise UserError(f"faces=detect needs detector=FILE: {WHERE}, or a keypoint_rcnn's run.")
    return boxes_of_detector(photos, open_detector(Path(settings.detector), settings.device))


def refuse_predicted(out: Path) -> None:
    """Refuse a folder that holds predictions: some of them might stay beside the new ones.

    Raises:
        UserError: naming it.
    """
    if any((out / name).is_file() for name in ("predictions.csv", "submission.csv")):
        raise UserError(f"run_dir={out} holds predictions: name another folder, or remove it.")


def is_npz(settings: PredictSettings) -> bool:
    """Say whether predictions.npz is wanted."""
    return settings.npz or settings.format == "npz"


def _heatmaps_of(finder: Finder) -> Callable:
    """Return what makes strips of heatmaps of images.

    Raises:
        UserError: if the model has none.
    """
    from landmarks.commands.model_pictures import has_heatmaps, show_heatmaps  # they need torch

    finder = next(iter(getattr(finder, "members", [])), finder)  # the first of several
    model = getattr(finder, "model", None)
    if model is None or not has_heatmaps(model):
        raise UserError(
            f"heatmaps=true: this is a {finder.description.partition(',')[0]}, which has no "
            f"heatmaps; leave it out, or name a checkpoint of a unet (model=unet_resnet18)."
        )
    ranges = finder.layout.pick_ranges(finder.config["pictured_region"])
    return partial(show_heatmaps, model, ranges=ranges, precision=finder.precision)


def _open_submission(faces: Faces) -> Submission | LookupSubmission | None:
    if faces.asked is not None:
        return LookupSubmission(*faces.asked, faces.scored_to)
    return None if faces.wanted is None else Submission(faces.names, faces.wanted)


def _submit(
    settings: PredictSettings, submission: Submission | LookupSubmission, rounded: bool
) -> None:
    path = Path(settings.run_dir) / "submission.csv"
    submission.write(path, rounded)
    log.info(f"Submission, read back and checked: {path}")
    if settings.data["limit"] is not None:
        log.warning(f"It is not whole: data.limit={settings.data['limit']} leaves test faces out.")
