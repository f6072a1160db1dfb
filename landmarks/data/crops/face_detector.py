"""OpenCV's face detector, with a model file that the user names."""

from pathlib import Path

import cv2
import numpy as np

from landmarks.data.images.decoding import silent_opencv
from landmarks.errors import UserError

LONGEST = 1280  # pixels of the side that photos are scaled to at most
SURE = 0.7  # least score of a face
WHERE = (
    "the model is face_detection_yunet_2023mar.onnx of OpenCV's model zoo, "
    "github.com/opencv/opencv_zoo, to be downloaded once by hand"
)


class FaceDetector:
    """Finds faces with `cv2.FaceDetectorYN`.

    Args:
        path: of its model, YuNet as ONNX; nothing is downloaded.

    Raises:
        UserError: if it is no such model.

    Source: Wu et al., YuNet: A Tiny Millisecond-level Face Detector, 2023.
    """

    def __init__(self, path: Path):
        if not path.is_file():
            raise UserError(f"detector={path}: there is no such file; {WHERE}.")
        try:
            with silent_opencv():
                self.model = cv2.FaceDetectorYN.create(str(path), "", (64, 64), SURE)
                self.find(np.zeros((64, 64, 3), np.uint8))
        except cv2.error as error:
            raise UserError(f"detector={path} detects no faces in OpenCV; {WHERE}.") from error

    def find(self, image: np.ndarray) -> np.ndarray:
        """Return the boxes (n, 4) x0, y0, x1, y1 of the faces in an image (H, W, 3) BGR."""
        shrink = min(1.0, LONGEST / max(image.shape[:2]))
        if shrink < 1:
            image = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        self.model.setInputSize(image.shape[1::-1])
        found = self.model.detect(image)[1]
        if found is None:
            return np.empty((0, 4), np.float32)
        boxes = found[:, :4] / shrink
        return np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]).astype(np.float32)
