"""What a model makes of some faces, in pictures: points over photos, heatmaps over inputs."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from landmarks.commands.training_run.training_inputs import Inputs
from landmarks.data.faces import Faces
from landmarks.data.images.decoding import read_image
from landmarks.devices import move
from landmarks.inference.finder_protocol import Framing
from landmarks.inference.predictor import Predictor
from landmarks.models.landmarker import Landmarker
from landmarks.outputs.pictures import arrange, draw_face, draw_heatmaps
from landmarks.training.precision import Precision
from landmarks.training.validation import predict
from landmarks.viewer.album import Heatmap

MAX_HEATMAPS = 4  # faces in a run's heatmaps.png


def has_heatmaps(model: Landmarker) -> bool:
    """Say whether `show_heatmaps` can show something of this model."""
    return model.head.has_maps


def picture_validation(
    model: Landmarker, inputs: Inputs, precision: Precision
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield ("faces", picture), and ("heatmaps", picture) where the model has some.

    They are of the pictured validation faces; a picture is (H, W, 3) uint8 BGR.
    """
    for batch, predicted, _ in predict(model, inputs.pictured, precision):
        faces = inputs.faces
        images = [read_image(faces.path(row), exif=faces.exif) for row in batch.rows.tolist()]
        there = [i for i, image in enumerate(images) if image is not None]
        if not there:
            continue
        truth = faces.points[batch.rows[there].numpy()]
        found = predicted.cpu().numpy()[there]
        found[:, ~inputs.labelled] = np.nan  # nobody knows where they are
        drawn = zip([images[i] for i in there], truth, found, strict=True)
        yield "faces", arrange([draw_face(*face) for face in drawn])
        if has_heatmaps(model):
            some = there[:MAX_HEATMAPS]
            images, points = batch.images[some], batch.points[some]
            strips = show_heatmaps(model, images, inputs.ranges, precision, points)
            yield "heatmaps", arrange(strips, columns=1)


class LargestHeatmap:
    """Finds the largest of all heatmaps of single faces, when one is asked for.

    Args:
        predictor: with a model that `has_heatmaps`.
        faces: framed as it was trained.
    """

    def __init__(self, predictor: Predictor, faces: Faces):
        self.predictor = predictor
        framing = Framing(batch_size=1, on_error="skip", workers=0)
        self.source = predictor.batches(faces, framing).source

    @torch.inference_mode()
    def __call__(self, row: int) -> Heatmap | None:
        """Return it; None where the face's image cannot be read."""
        batch, model = self.source.__getitems__([row]), self.predictor.model
        if not batch.readable.all():
            return None
        with self.predictor.precision.autocast():
            features = model.extract(move(batch.images, self.predictor.device))
        every = [range(self.predictor.num_points)]
        values, _ = model.head.maxima(features, every, None)
        size = self.predictor.input_size
        return Heatmap(values[0, 0].cpu().numpy(), size, batch.to_image[0].numpy())


@torch.inference_mode()
def show_heatmaps(
    model: Landmarker,
    images: Tensor,
    ranges: dict[str, range],
    precision: Precision,
    points: Tensor | None = None,
) -> list[np.ndarray]:
    """Return a strip for each face, see `draw_heatmaps`: for each range of points, the maximum.

    Args:
        model: one that `has_heatmaps`.
        images: (B, 3, S, S) uint8 RGB.
        ranges: heading -> points.
        points: (B, K, 2) in input pixels: their targets are shown beside the predictions.
    """
    model.eval()
    device = precision.device
    if points is not None:
        points = move(points, device)
    with precision.autocast():
        features = model.extract(move(images, device))
    predicted, targets = model.head.maxima(features, list(ranges.values()), points)
    kinds = {"target": targets, "predicted": predicted}
    shown = {kind: maps.cpu().numpy() for kind, maps in kinds.items() if maps is not None}
    strips = []
    for i, pixels in enumerate(images.permute(0, 2, 3, 1).numpy()):
        maps = {
            f"{name}, {kind}": shown[kind][i, r] for r, name in enumerate(ranges) for kind in shown
        }
        strips.append(draw_heatmaps(pixels[:, :, ::-1], maps))
    return strips
