"""How prediction frames faces: as training did, or as the user says."""

import logging
from dataclasses import replace

from landmarks.data.crops.boxes import BoxSource, frame_faces, square_about
from landmarks.data.faces import Faces
from landmarks.errors import UserError
from landmarks.geometry import BoxCrop, Crop
from landmarks.inference.finder_protocol import Finder, Framing

log = logging.getLogger(__name__)


def frame_for(model: Finder, faces: Faces, framing: Framing) -> tuple[Faces, Crop | BoxCrop]:
    """Return the faces with the boxes that frame them, if some do, and the crop.

    Raises:
        UserError: see `frame_detected` and `frame_as_trained`.
    """
    if framing.detected:
        return frame_detected(faces, model.places, model.description)
    leave_out = framing.on_error == "skip"
    return frame_as_trained(faces, model.config, framing.box_from, framing.box_margin, leave_out)


def frame_as_trained(
    faces: Faces,
    trained: dict,
    box_from: BoxSource | None,
    box_margin: float | None,
    leave_out: bool,
) -> tuple[Faces, Crop | BoxCrop]:
    """Return what `frame_faces` does, of the crop that a model was trained with.

    Args:
        faces: to predict.
        trained: the settings it was trained with.
        box_from, box_margin: of crop=box; None: as it was trained.
        leave_out: see `frame_faces`.

    Raises:
        UserError: if the faces cannot be framed alike and the user does not say how; see also
            `frame_faces`.
    """
    crop, source, margin = (trained[key] for key in ("crop", "box_from", "box_margin"))
    if faces.exif == "ignore" and trained["data"].get("exif") == "rotate":
        log.warning(
            f"Images of {faces.source} are read with data.exif=ignore, and the model was trained "
            f"with rotate: faces of photos held upright may lie on their side."
        )
    if trained["data"].get("one_based"):
        log.info(
            "Predictions count from 0 at the first pixel's centre; the labels trained on from 1 "
            "(data.one_based=true): add 1 before you compare."
        )
    given = {"box_from": box_from, "box_margin": box_margin}
    given = {key: value for key, value in given.items() if value is not None}
    if crop != "box" and given:
        word, value = next(iter(given.items()))
        raise UserError(
            f"{word}={value} changes nothing: the model was trained with crop={crop}, which looks "
            f"at no boxes; leave it out."
        )
    if box_from == "points" and faces.points is None:
        raise UserError(f"box_from=points takes the boxes of labels, and {faces.source} has none.")
    chosen = {"box_from": source, "box_margin": margin, **given}
    if crop == "box" and box_from is None and source == "points":
        _explain_framing(faces, margin)
    elif chosen["box_from"] != source or chosen["box_margin"] != margin:
        log.warning(
            f"Faces are framed by box_from={chosen['box_from']}, "
            f"box_margin={chosen['box_margin']:g}; the model was trained with box_from={source}, "
            f"box_margin={margin:g}."
        )
    return frame_faces(faces, crop, chosen["box_margin"], chosen["box_from"], leave_out)


def frame_detected(faces: Faces, places: dict | None, model: str) -> tuple[Faces, BoxCrop]:
    """Return faces whose boxes are squares that show them as a model expects, and their crop.

    A square is black where a photo of the training's usual shape leaves the input black: the model
    has learnt that these bars frame the face.

    Args:
        faces: with boxes about their points.
        places: of the model, see `landmarks.data.crops.expected_face_place.measure_places`.
        model: it in words.

    Raises:
        UserError: if nothing is known of the framing it was trained with.
    """
    if places is None:
        raise UserError(
            f"'{model}' was trained before checkpoints kept where the face lies in the input: use "
            f"faces=whole, or train it on with this version (init=RUN epochs=1)."
        )
    shown = tuple(places.get("shown", (1.0, 1.0)))  # older checkpoints do not say
    return replace(faces, boxes=square_about(faces.boxes, places)), BoxCrop(0.0, shown)


def _explain_framing(faces: Faces, margin: float) -> None:
    """Say that labels frame the faces, as in training; where there are none, ask for boxes."""
    if faces.points is not None:
        log.warning(
            f"Faces of {faces.source} are framed by their labels, as in training "
            f"(box_from=points); set box_from=data to predict as for faces without labels."
        )
        return
    trained = f"The model was trained on boxes of labels (box_from=points, box_margin={margin:g})"
    if faces.boxes is None:
        raise UserError(
            f"{trained}, and {faces.source} has neither boxes nor labels: name a file of boxes "
            f"with faces=FILE, or let them be found with faces=detect."
        )
    raise UserError(
        f"{trained}, and {faces.source} has no labels, but boxes of its own: set box_from=data "
        f"where these reach from outermost point to outermost point; where they are wider, also a "
        f"smaller box_margin."
    )
