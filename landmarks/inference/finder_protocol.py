"""What finds points: the contract of a trained model, of several as one, and of an exported one."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from landmarks.data.crops.boxes import BoxSource
from landmarks.data.faces import ExifName, Faces, OnError
from landmarks.layout import Layout
from landmarks.settings import Workers


@dataclass(frozen=True, kw_only=True)
class Framing:
    """How faces are given to a model.

    Args:
        batch_size: faces a batch; the last may have fewer.
        box_from, box_margin: of a model trained with crop=box; None: as it was trained.
        detected: the faces' boxes are about their points, as a detector finds them: show each face
            as large and as central as those trained on were, whatever the crop.
        on_error: "skip" keeps unreadable images' rows, with points that are guesses.
        workers: processes that read images; they change nothing for an exported model, whose
            runtime takes longer than reading does.
        dealt: of several processes each iterates over its own, see
            `landmarks.distributed.deal_work`.
    """

    batch_size: int = 64
    box_from: BoxSource | None = None
    box_margin: float | None = None
    detected: bool = False
    on_error: OnError = "stop"
    workers: Workers = "auto"
    dealt: bool = False


class Finder(Protocol):
    """What finds points: `Predictor`, several of them, or an exported model.

    Attributes:
        layout: what the K points are.
        num_points: K.
        unlabelled: points that no training face had a label of.
        certainty: what `predict` yields beside points: "confidence", 0 to 1; "spread", in original
            pixels, the standard deviation of several looks; or "none", NaN.
        description: the model in words.
        kind: which model it is, in words.
        config: the settings that it was trained with, those of the data and the framing at least.
        exif: how photos are turned, see `landmarks.data.faces.Faces`.
        input_size: the side of its input in pixels.
        places: where it expects the face, see `landmarks.data.crops.expected_face_place`; None: not
            known.
        val_mse: its validation error in original square pixels; None if it is not known.
    """

    layout: Layout
    num_points: int
    unlabelled: list[int]
    certainty: str
    description: str
    kind: str
    config: dict
    exif: ExifName
    input_size: int
    val_mse: float | None
    places: dict | None

    def sees(self, detected: bool) -> tuple:
        """Return what its batches depend on: models that agree in it can share them."""

    def batches(self, faces: Faces, framing: Framing) -> Any:
        """Return the batches of all faces, in order; their `source.faces` are those framed."""

    def predict(self, batches) -> Any:
        """Yield each batch, its points (B, K, 2) in original pixels and `certainty` (B, K)."""


class Rows(NamedTuple):
    """B faces: rows (B,) int64, where they stand in the data set."""

    rows: np.ndarray
