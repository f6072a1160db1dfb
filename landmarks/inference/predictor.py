"""A checkpoint opened for use: evaluation, export and prediction all go through it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from landmarks.data.batches.cropped_faces import Batch, CroppedFaces
from landmarks.data.batches.loader import Batches, choose_workers
from landmarks.data.faces import ExifName, Faces
from landmarks.errors import say_count
from landmarks.inference.face_framing import frame_for
from landmarks.inference.finder_protocol import Framing
from landmarks.inference.rebuild_model import (
    check_claims,
    choose_flip,
    describe_model,
    rebuild_model,
)
from landmarks.layout import Layout
from landmarks.runs.checkpoint import load_checkpoint
from landmarks.settings import AmpName, DecoderName, DeviceName, Graph
from landmarks.training.out_of_memory import explain_out_of_memory
from landmarks.training.precision import Precision, choose_device
from landmarks.training.predict_batch import choose_forward
from landmarks.training.validation import predict_ahead


class Predictor:
    """Finds the points of faces with a trained model; it needs the checkpoint alone.

    Args:
        path: of a checkpoint.
        device: where the model runs.
        amp: number format, see `Precision`.
        decoder: of heatmaps; None: as it was trained with.
        flip_test: the mean of what is found in a face and its mirror image; None: as validated.
        graph: record the work of a batch once and replay it as a CUDA graph; "auto": on CUDA, where
            the model allows.

    Attributes:
        checkpoint: its content.
        model: `Landmarker` on the device, ready to predict: images (B, 3, S, S) uint8 RGB -> points
            (B, K, 2) in input pixels and confidence (B, K).
        precision: autocast, and the device.
        layout: what the K points are.
        num_points: K.
        input_size: S, the side of the model's input in pixels.
        unlabelled: points that no training face had a label of: what is found there are guesses.
        certainty: "confidence" where the model knows it; else "spread", in original pixels, where
            it looks at mirror images too; else "none".
        config: the settings that it was trained with.
        exif: how photos that a program hands over are turned: upright.
        places: where it expects the face, see `landmarks.data.crops.expected_face_place`; None: not
            known.
        val_mse: its validation error in original square pixels; None before the first epoch's end.

    Raises:
        UserError: if the file is no checkpoint of this program, says of itself what cannot be, or
            has no decoder or no flip permutation where one is asked for; for graph=True where
            nothing can be recorded.
    """

    def __init__(
        self,
        path: Path,
        *,
        device: DeviceName = "auto",
        amp: AmpName = "auto",
        decoder: DecoderName | None = None,
        flip_test: bool | None = None,
        graph: Graph = "auto",
    ):
        self.checkpoint = load_checkpoint(path)
        model = rebuild_model(self.checkpoint, {"decoder": decoder} if decoder else {})
        check_claims(self.checkpoint)
        model.flip = choose_flip(self.checkpoint, flip_test)
        self.precision = Precision(amp, choose_device(device))
        advice = "use device=cpu or stop other programs"
        with explain_out_of_memory(self.device, "the model", advice):
            self.model = model.to(self.device, memory_format=torch.channels_last)
        self.forward = choose_forward(graph, self.model, self.precision)
        self.layout = Layout(**self.checkpoint.layout)
        self.num_points: int = self.checkpoint.num_points
        self.input_size: int = self.checkpoint.config["input_size"]
        self.unlabelled: list[int] = self.checkpoint.unlabelled
        model.tells_spread = model.flip is not None and not model.head.has_confidence
        self.certainty = "spread" if model.tells_spread else "none"
        if model.head.has_confidence:
            self.certainty = "confidence"
        self.config = self.checkpoint.config
        self.exif: ExifName = "rotate"  # whatever the labels trained on referred to
        self.places = self.checkpoint.places
        self.val_mse: float | None = self.checkpoint.metrics.get("val_mse")

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return self.precision.device

    @property
    def kind(self) -> str:
        """Which model it is, in words."""
        return describe_model(self.config["model"])

    @property
    def description(self) -> str:
        """The model in words: what it is, of which epoch and how good."""
        described = self.kind
        trained = self.checkpoint.metrics
        if trained:
            error = f"validation MSE {trained['val_mse']:.3f} px²"
            described = f"{described}, epoch {trained['epoch']}, {error}"
        return f"{described}, {say_count(self.num_points, 'point')}"

    def sees(self, detected: bool) -> tuple:
        """Return what its batches depend on, beside the faces: models alike in it can share them.

        Args:
            detected: see `Framing`.
        """
        framed = [self.config[key] for key in ("crop", "box_from", "box_margin")]
        places = str(self.places) if detected else ""
        return (self.input_size, self.exif, self.device.type, places, *framed)

    def batches(self, faces: Faces, framing: Framing) -> Batches:
        """Return the batches of all faces, in order; their `source.faces` are those framed.

        Args:
            faces: of any number of points, or none.

        Raises:
            UserError: if the faces cannot be framed as they were in training.
        """
        faces, crop = frame_for(self, faces, framing)
        return Batches(
            CroppedFaces(faces, crop, self.input_size),
            np.arange(len(faces)),
            batch_size=framing.batch_size,
            workers=choose_workers(framing.workers, self.device.type),
            pin_memory=self.device.type == "cuda",
            on_error=framing.on_error,
            dealt=framing.dealt,
        )

    def predict(self, batches: Batches) -> Iterator[tuple[Batch, np.ndarray, np.ndarray]]:
        """Yield each batch, its points (B, K, 2) in original pixels, and `certainty` (B, K).

        Both are float32. A batch comes when the next ones have been begun.

        Raises:
            UserError: where memory runs out, or an image cannot be read and on_error is "stop".
        """
        size = batches.batch_size
        smaller = [f"batch_size={size // 2}"] * (size > 1)
        smaller += ["device=cpu"] * (self.device.type != "cpu")
        advice = f"use {' or '.join(smaller)}" if smaller else "stop other programs"
        with explain_out_of_memory(self.device, f"batches of {size}", advice):
            found = predict_ahead(self.model, batches, self.precision, self.forward)
            for batch, points, sure in found:
                if self.certainty == "spread":
                    area = np.linalg.det(batch.to_image[:, :, :2].numpy())
                    sure = sure * np.sqrt(np.abs(area))[:, None]
                yield batch, points, sure
