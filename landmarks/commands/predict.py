"""`landmarks predict`: a model and images -> predictions, a picture and a submission."""

import logging
from pathlib import Path

import numpy as np
from tqdm import tqdm

from landmarks.commands.predicting.faces_to_predict import open_faces
from landmarks.commands.predicting.predict_clip import predict_clip
from landmarks.commands.predicting.predict_faces import FoundPoints, open_labels
from landmarks.commands.predicting.predict_settings import PredictSettings
from landmarks.data.faces import Faces
from landmarks.data.images.video_frames import is_clip
from landmarks.distributed.deal_work import dealing, hand_over, refuse_several
from landmarks.distributed.processes import is_main
from landmarks.distributed.rank_messages import first_of_node
from landmarks.errors import UserError, say_count
from landmarks.inference.finder_protocol import Finder
from landmarks.inference.open_model import open_finder
from landmarks.outputs.predictions import PredictionFile
from landmarks.outputs.submission import LookupSubmission, Submission

log = logging.getLogger(__name__)


def predict(settings: PredictSettings) -> int:
    """Predict; return the exit code."""
    refuse_predicted(Path(settings.run_dir))
    predictor = _open(settings)
    if is_clip(settings.input):
        refuse_several(f"input={settings.input}: one process follows a face through a clip")
        return predict_clip(settings, predictor)
    with first_of_node("what the first process of this machine reads"):
        faces = open_faces(predictor, settings.data, settings.input, settings.other_points)
    with dealing():
        found = FoundPoints(settings, predictor, faces)
        if is_main():
            _write(settings, predictor, found)
        else:
            hand_over(found)
    return 0


def _write(settings: PredictSettings, finder: Finder, found: FoundPoints) -> None:
    """Write what is found, as it comes."""
    out, faces, unlabelled = Path(settings.run_dir), found.faces, finder.unlabelled
    # The contest's labels are whole pixels; those of Facial Keypoints are not.
    rounded = faces.asked is None if settings.round is None else settings.round
    file = PredictionFile(
        out,
        faces.names,
        finder.num_points,
        rounded=rounded,
        npz=is_npz(settings),
        unlabelled=unlabelled,
        boxes=faces.boxes,
        certainty=finder.certainty,
        columns=settings.confidence,
        tell_all=settings.faces != "whole",
        point_names=finder.layout.names,
    )
    submission, unreadable = _open_submission(faces), []
    labels = open_labels(out, settings.format, finder, faces, rounded)
    bar = tqdm(total=len(faces), desc="predicting", unit="face", disable=None)
    with file as written, labels as label, bar:
        for batch in found:
            written.add(batch.points, batch.sure)
            if submission is not None:
                submission.add(batch.points, batch.rows)
            batch.points[:, unlabelled] = np.nan
            label(batch.rows, batch.points)
            found.album.add(batch.tiles)
            unreadable += batch.rows[batch.unreadable].tolist()
            bar.update(len(batch.rows))
        if len(unreadable) == len(faces):
            raise UserError(
                f"Not one of {say_count(len(faces), 'image')} of {faces.source} can be read, "
                f"{faces.say(0)} first: restore them, or name others."
            )
    log.info(f"{say_count(len(faces), 'face')}, all points: {out / 'predictions.csv'}")
    if unreadable:
        log.warning(
            f"Missing or unreadable images: {len(unreadable)}, "
            f"'{faces.name(unreadable[0])}' first; they keep their rows, with "
            "points that are guesses."
        )
    if submission is not None:
        _submit(settings, submission, rounded)
    found.album.save()


def _open(settings: PredictSettings) -> Finder:
    finder = open_finder(settings.checkpoint, graph=settings.graph, **settings.opening())
    if settings.confidence and finder.certainty == "none":
        raise UserError(
            f"confidence=true: {finder.description} does not know how sure it is; leave it out, or "
            f"name several checkpoints, whose spread is then written."
        )
    return finder


def refuse_predicted(out: Path) -> None:
    """Refuse a folder that holds predictions: some of them might stay beside the new ones.

    Raises:
        UserError: naming it.
    """
    if any((out / name).is_file() for name in ("predictions.csv", "submission.csv")):
        raise UserError(
            f"run_dir={out} holds predictions: name another folder, or remove this one."
        )


def is_npz(settings: PredictSettings) -> bool:
    """Say whether predictions.npz is wanted."""
    return settings.npz or settings.format == "npz"


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
