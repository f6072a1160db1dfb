"""What finds boxes of faces in photos: OpenCV's detector, or a trained Keypoint R-CNN."""

from pathlib import Path
from typing import Any

from landmarks.data.crops.boxes import point_boxes
from landmarks.data.crops.face_detector import FaceDetector
from landmarks.errors import UserError
from landmarks.inference.loaded_model import Model
from landmarks.inference.open_model import open_finder


def open_detector(path: Path, device: str = "auto") -> Any:
    """Return what finds boxes of faces in an image: OpenCV's model, or a keypoint_rcnn's points.

    Args:
        path: of an .onnx file for OpenCV, or of a run or .pt file of a keypoint_rcnn.

    Raises:
        UserError: if it is neither.
    """
    if not (path.is_dir() or path.suffix == ".pt"):
        return FaceDetector(path).find
    finder = open_finder(path, device=device)
    if not finder.config["model"]["_target_"].endswith(".keypoint_rcnn"):
        raise UserError(
            f"detector={path} is a {finder.description}, which finds no faces; name a "
            f"keypoint_rcnn's checkpoint, or a model of OpenCV."
        )
    model = Model(finder)
    return lambda image: point_boxes(model.predict(image, channels="bgr").points)
