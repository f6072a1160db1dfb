"""`landmarks predict`: a checkpoint and images -> predictions, a picture and a submission."""

import inspect
import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from tqdm import tqdm

from landmarks.commands.build import build, describe_model, rebuild_model, trusted
from landmarks.commands.claims import check_claims
from landmarks.commands.framing import frame_as_trained
from landmarks.commands.model_pictures import Album, has_heatmaps, show_heatmaps
from landmarks.data.boxes import BoxSource
from landmarks.data.cropped import CroppedFaces
from landmarks.data.faces import ExifName, Faces, OnError
from landmarks.data.formats import thousand
from landmarks.data.labelled import say_points
from landmarks.data.loader import Batches, choose_workers
from landmarks.data.photos import find_images
from landmarks.errors import UserError
from landmarks.layout import Layout
from landmarks.models.heatmap_head import DecoderName
from landmarks.runs.checkpoint import Checkpoint, load_checkpoint
from landmarks.runs.find import find_checkpoint
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
    check_arguments,
)
from landmarks.training.memory_advice import explain_out_of_memory
from landmarks.training.precision import AmpName, DeviceName, Precision, choose_device
from landmarks.training.threads import use_threads
from landmarks.training.validation import predict_ahead

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
    batch_size: PositiveInt
    device: DeviceName
    amp: AmpName
    workers: Workers
    threads: Threads
    name: RunName
    run_dir: str


def predict(settings: PredictSettings) -> int:
    """Predict; return the exit code."""
    out = Path(settings.run_dir)
    path = find_checkpoint(Path(settings.checkpoint) if settings.checkpoint else None)
    opened = load_checkpoint(path)
    model = rebuild_model(opened, {"decoder": settings.decoder} if settings.decoder else {})
    check_claims(opened)
    model.flip = choose_flip(opened, settings.flip_test)
    log.info("Model: %s (%s, %d points)", path, _describe(opened), opened.num_points)
    if settings.heatmaps and not has_heatmaps(model):
        raise UserError(
            f"heatmaps=true: {path} is a {describe_model(opened.config['model'])}, which "
            f"has no heatmaps; leave it out, or name a checkpoint of a unet (model=unet_resnet18)."
        )
    where = choose_device(settings.device)
    use_threads(settings.threads, where)
    precision = Precision(settings.amp, where)
    smaller = [f"batch_size={settings.batch_size // 2}"] * (settings.batch_size > 1)
    smaller += ["device=cpu"] * (where.type != "cpu")
    advice = f"use {' or '.join(smaller)}" if smaller else "stop other programs"
    full = explain_out_of_memory(where, f"batches of {settings.batch_size}", advice)
    faces = (
        _find_input(settings.input, settings.data, opened)
        if settings.input
        else _read_data(settings.data, opened)
    )
    if faces.wanted is not None and faces.wanted.max() >= opened.num_points:
        raise UserError(
            f"{faces.source} asks for point {faces.wanted.max()} and the model has points 0 to "
            f"{opened.num_points - 1}: predict with a model of that layout."
        )
    if faces.wanted is not None and faces.wanted.max() < opened.num_points // 2:
        log.warning(
            "%s asks for no point above %d and the model has %d: was it trained on such data?",
            *(faces.source, faces.wanted.max(), opened.num_points),
        )
    unlabelled = _say_unlabelled(opened.unlabelled, faces)
    config = opened.config
    leave_out = settings.data["on_error"] == "skip"
    faces, crop = frame_as_trained(faces, config, settings.box_from, settings.box_margin, leave_out)
    batches = Batches(
        *(CroppedFaces(faces, crop, config["input_size"]), np.arange(len(faces))),
        batch_size=settings.batch_size,
        workers=choose_workers(settings.workers, where.type),
        pin_memory=where.type == "cuda",
        on_error=settings.data["on_error"],
    )
    ranges = Layout(**opened.layout).pick_ranges(config["pictured_region"])
    asked: list[np.ndarray] = []
    strips = partial(show_heatmaps, model, ranges=ranges, precision=precision)
    album = Album(out, faces, strips if settings.heatmaps else None)
    bar = tqdm(total=len(faces), desc="predicting", unit="face", disable=None)
    names, count = faces.names, opened.num_points
    file = PredictionFile(out, names, count, settings.round, settings.npz, unlabelled, faces.boxes)
    with file as written, bar, full:
        model = model.to(where, memory_format=torch.channels_last)
        for batch, points, confidence in predict_ahead(model, batches, precision):
            written.add(points, confidence)
            rows = batch.rows.numpy()
            if faces.wanted is not None:
                asked.append(pick_points(points, faces.wanted[rows]))
            points[:, unlabelled] = np.nan
            album.add(batch, points)
            bar.update(len(rows))
    log.info("%d faces, all points: %s", len(faces), out / "predictions.csv")
    if batches.unreadable:
        count = len(batches.unreadable)
        log.warning(
            "Unreadable images: %d; they keep their rows, with points that are guesses.", count
        )
    if faces.wanted is not None:
        write_submission(out / "submission.csv", faces.names, np.concatenate(asked), settings.round)
        log.info("Submission, read back and checked: %s", out / "submission.csv")
        if settings.data["limit"] is not None:
            log.warning(
                "It is not whole: data.limit=%d leaves test faces out.",
                settings.data["limit"],
            )
    album.save()
    return 0


def choose_flip(checkpoint: Checkpoint, flip_test: bool | None) -> torch.Tensor | None:
    """Return the flip permutation (K,) to predict mirror images with, or None to leave them out.

    Args:
        flip_test: None: as the checkpoint was validated.

    Raises:
        UserError: if they are asked for and nothing is known of the faces' symmetry.
    """
    wanted = checkpoint.config["flip_test"] if flip_test is None else flip_test
    if flip_test and checkpoint.flip is None:
        raise UserError(
            "flip_test=true: the checkpoint knows no flip permutation of its points, as its "
            "training faces bore none out or none was looked for; leave it out."
        )
    return torch.tensor(checkpoint.flip) if wanted and checkpoint.flip is not None else None


def _describe(checkpoint: Checkpoint) -> str:
    trained = checkpoint.metrics
    model = describe_model(checkpoint.config["model"])
    if not trained:
        return model
    return f"{model}, epoch {trained['epoch']}, validation MSE {trained['val_mse']:.3f} px²"


def _say_unlabelled(unlabelled: list[int], faces: Faces) -> list[int]:
    """Return the points that no training face had a label of; say what becomes of them."""
    if not unlabelled:
        return []
    log.warning(
        "Never labelled in training: %s. Where that is was not learnt, and coordinates stay empty.",
        say_points(np.array(unlabelled)),
    )
    asked = 0 if faces.wanted is None else int(np.isin(faces.wanted, unlabelled).sum())
    if asked:
        log.warning(
            "%s asks for such points %d times: its numbers there are guesses.",
            *(faces.source, asked),
        )
    return unlabelled


def _find_input(place: str, data: dict, checkpoint: Checkpoint) -> Faces:
    """Return the faces of the images that `input` names, turned as those trained on were."""
    exif = data.get("exif") or checkpoint.config["data"].get("exif", "rotate")
    return find_images(place, data["limit"], exif)


def _read_data(data: dict, checkpoint: Checkpoint) -> Faces:
    """Return the test faces of the named data, or else of the data the model was trained on.

    Raises:
        UserError: if data.root names other data and the training data have no root.
    """
    given = {key: value for key, value in data.items() if value is not None}
    if "_target_" in data:
        return build(data, part="test")
    node = checkpoint.config["data"]
    reader = trusted(node, "data")
    kind = reader.__module__.rpartition(".")[2]
    if kind == "synthetic" and "root" in given:  # it has the contest's layout
        reader, node, kind = thousand.read_faces, {}, "thousand"
    if "root" in given:
        if "root" not in inspect.signature(reader).parameters:
            raise UserError(
                f"data.root={given['root']}: the model was trained with data={kind}, which has no "
                f"root: name the files with data={kind}, or a folder's format with data=FORMAT."
            )
        log.info("data.root is read as data=%s, as in training; data=FORMAT names another.", kind)
    # A limit on the training faces is none on the test faces: a submission needs them all.
    node = {**node, "limit": None, **given}
    return reader(**check_arguments(reader, node, "data"), part="test")
