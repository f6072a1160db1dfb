"""Which faces `landmarks predict` finds the points of, and whether the model is one for them."""

import logging

import numpy as np

from landmarks.commands.preparing.data_for_model import read_data, say_differing
from landmarks.data.check_labels import say_points
from landmarks.data.faces import Faces
from landmarks.data.images.photos import find_images
from landmarks.errors import UserError, say_count
from landmarks.inference.finder_protocol import Finder

log = logging.getLogger(__name__)


def open_faces(predictor: Finder, data: dict, images: str | None, other_points: bool) -> Faces:
    """Return the faces that `images` names, or else those of the data.

    Args:
        data: of configs/data; what is None there is as in training.
        images: a folder of them, or a file that lists them.
        other_points: take faces whose points seem to be other ones than the model's.

    Raises:
        UserError: if there are none, or the model does not have their points.
    """
    config = predictor.config
    if images:  # upright, whatever the labels trained on referred to
        faces = find_images(images, data["limit"], data.get("exif") or "rotate")
    else:
        faces = read_data(data, config, "test")
    if not other_points:
        _refuse_other_points(faces, predictor.num_points, predictor.layout.names)
    if faces.wanted is not None and faces.wanted.max() >= predictor.num_points:
        raise UserError(
            f"{faces.source} asks for point {faces.wanted.max()} and the model has points 0 to "
            f"{predictor.num_points - 1}: predict with a model of that layout."
        )
    if faces.asked is not None:
        _refuse_other_names(faces, predictor.layout.names, predictor.num_points)
    _say_unlabelled(predictor.unlabelled, faces)
    return faces


def _refuse_other_names(faces: Faces, names: list[str], num_points: int) -> None:
    """Refuse a table that asks by name for points that the model does not have in this order."""
    if list(faces.point_names) != list(names) and (names or num_points != len(faces.point_names)):
        listed = ", ".join(names[:3]) or str(num_points)
        raise UserError(
            f"{faces.asked.source} asks for the {len(faces.point_names)} points "
            f"{', '.join(faces.point_names[:3])}, ... and the model has others ({listed}, ...): "
            f"name a checkpoint trained on this data with checkpoint=."
        )


def _refuse_other_points(faces: Faces, num_points: int, names: list[str]) -> None:
    """Refuse faces that were labelled with other points than a model of so many has.

    Args:
        names: K names of the model's points; empty: it knows none.
    """
    way_on = (
        "Name a checkpoint trained on such data with checkpoint=, or set other_points=true to "
        "predict all the same."
    )
    if faces.points is not None and faces.points.shape[1] != num_points:
        differing = say_differing(faces.point_names, names, "the model")
        raise UserError(
            f"{faces.source} has faces of {say_count(faces.points.shape[1], 'point')} and the "
            f"model finds {num_points}{differing and f': the data {differing}'}. {way_on}"
        )
    if faces.wanted is not None and faces.wanted.max() < num_points // 2:
        raise UserError(
            f"{faces.source} asks for no point above {faces.wanted.max()} and the model has "
            f"{num_points}, so that its points seem to be others. {way_on}"
        )


def _say_unlabelled(unlabelled: list[int], faces: Faces) -> None:
    """Say what becomes of the points that no training face had a label of."""
    if not unlabelled:
        return
    log.warning(
        f"Never labelled in training: {say_points(np.array(unlabelled))}. Where that is was not "
        f"learnt, and coordinates stay empty."
    )
    wanted = faces.wanted if faces.asked is None else faces.asked.places // 2
    asked = 0 if wanted is None else int(np.isin(wanted, unlabelled).sum())
    if asked:
        log.warning(
            f"{faces.source} asks for such points: {say_count(asked, 'number')} there are guesses."
        )
