"""`landmarks predict`: a checkpoint and images -> predictions, a picture and a submission."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
from torch import Tensor
from tqdm import tqdm

from landmarks.commands.faces_to_predict import open_faces
from landmarks.commands.model_pictures import Album, has_heatmaps, show_heatmaps
from landmarks.data.boxes import BoxSource
from landmarks.data.faces import ExifName, Faces, OnError
from landmarks.errors import UserError, say_count
from landmarks.inference.members import open_members
from landmarks.inference.predictor import Predictor
from landmarks.inference.rebuild import describe_model
from landmarks.models.heatmap_head import DecoderName
from landmarks.runs.find import find_checkpoint, find_members
from landmarks.runs.predictions import PredictionFile
from landmarks.runs.submission import pick_points, write_submission
from landmarks.settings import (
    GroupOf,
    Needs,
    NonNegative,
    PositiveInt,
    RunName,
    Threads,
    Workers,
)
from landmarks.training.forward import Graph
from landmarks.training.precision import AmpName, DeviceName
from landmarks.training.threads import use_threads

log = logging.getLogger(__name__)
FROM_DATA = Needs("/input", None)


@dataclass(frozen=True, kw_only=True)
class OtherData:
    """What prediction changes in the settings of the data that a model was trained on."""

    root: Annotated[str | None, FROM_DATA]
    cache_dir: Annotated[str | None, FROM_DATA]
    limit: PositiveInt | None
    on_error: OnError
    exif: ExifName | None


@dataclass(frozen=True, kw_only=True)
class PredictSettings:
    """All that a prediction is told, of configs/predict.yaml."""

    data: Annotated[dict, GroupOf(OtherData)]
    checkpoint: str | None
    input: str | None
    round: bool
    npz: bool
    decoder: DecoderName | None
    flip_test: bool | None
    box_from: BoxSource | None
    box_margin: NonNegative | None
    heatmaps: bool
    other_points: bool
    batch_size: PositiveInt
    device: DeviceName
    amp: AmpName
    graph: Graph
    workers: Workers
    threads: Threads
    name: RunName
    run_dir: str


def predict(settings: PredictSettings) -> int:
    """Predict; return the exit code."""
    out = Path(settings.run_dir)
    predictor = _open_predictor(settings)
    use_threads(settings.threads, predictor.device)
    faces = open_faces(predictor, settings.data, settings.input, settings.other_points)
    batches = predictor.batches(
        faces,
        batch_size=settings.batch_size,
        box_from=settings.box_from,
        box_margin=settings.box_margin,
        on_error=settings.data["on_error"],
        workers=settings.workers,
    )
    faces, unlabelled = batches.source.faces, predictor.unlabelled
    album = Album(out, faces, _heatmaps_of(predictor) if settings.heatmaps else None)
    bar = tqdm(total=len(faces), desc="predicting", unit="face", disable=None)
    formats = settings.round, settings.npz
    file = PredictionFile(out, faces.names, predictor.num_points, *formats, unlabelled, faces.boxes)
    asked: list[np.ndarray] = []
    with file as written, bar:
        for batch, points, confidence in predictor.predict(batches):
            written.add(points, confidence)
            rows = batch.rows.numpy()
            if faces.wanted is not None:
                asked.append(pick_points(points, faces.wanted[rows]))
            points[:, unlabelled] = np.nan
            album.add(batch, points)
            bar.update(len(rows))
    log.info("%s, all points: %s", say_count(len(faces), "face"), out / "predictions.csv")
    if batches.unreadable:
        log.warning(
            "Missing or unreadable images: %d, '%s' first; they keep their rows, with points that "
            "are guesses.",
            len(batches.unreadable),
            faces.name(min(batches.unreadable)),
        )
    if faces.wanted is not None:
        _submit(settings, faces, np.concatenate(asked))
    album.save()
    return 0


def _open_predictor(settings: PredictSettings) -> Predictor:
    named = Path(settings.checkpoint) if settings.checkpoint else None
    members = find_members(named)
    path = named if members else find_checkpoint(named)
    open_one = partial(open_members, members) if members else partial(Predictor, path)
    predictor = open_one(
        device=settings.device,
        amp=settings.amp,
        decoder=settings.decoder,
        flip_test=settings.flip_test,
        graph=settings.graph,
    )
    many = f"the mean of {len(members)}, the first one " if members else ""
    log.info("Model: %s (%s%s)", path, many, predictor.description)
    if settings.heatmaps and not has_heatmaps(predictor.model):
        raise UserError(
            f"heatmaps=true: {path} is a {describe_model(predictor.checkpoint.config['model'])}, "
            f"which has no heatmaps; leave it out, or name a checkpoint of a unet "
            f"(model=unet_resnet18)."
        )
    return predictor


def _heatmaps_of(predictor: Predictor) -> Callable[[Tensor], list]:
    ranges = predictor.layout.pick_ranges(predictor.checkpoint.config["pictured_region"])
    return partial(show_heatmaps, predictor.model, ranges=ranges, precision=predictor.precision)


def _submit(settings: PredictSettings, faces: Faces, asked: np.ndarray) -> None:
    path = Path(settings.run_dir) / "submission.csv"
    write_submission(path, faces.names, asked, settings.round)
    log.info("Submission, read back and checked: %s", path)
    if settings.data["limit"] is not None:
        log.warning("It is not whole: data.limit=%d leaves test faces out.", settings.data["limit"])
