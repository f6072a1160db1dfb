"""What a model makes of some faces, in pictures: points over photos, heatmaps over inputs."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from landmarks.commands.inputs import Inputs
from landmarks.data.cropped import Batch
from landmarks.data.decoding import read_image
from landmarks.data.faces import Faces
from landmarks.devices import move
from landmarks.models.landmarker import Landmarker
from landmarks.runs.pictures import arrange, draw_face, draw_heatmaps, drawing, save_picture
from landmarks.training.precision import Precision
from landmarks.training.validation import predict

log = logging.getLogger(__name__)
MAX_HEATMAPS = 4  # faces in a run's heatmaps.png
MAX_PICTURED = 16  # predicted faces in a picture


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


class Album:
    """Pictures of some of the faces that are predicted, drawn as they come, written at the end.

    Args:
        folder: where faces.png, and heatmaps.png if there are some, go.
        faces: all that are predicted.
        strips: makes strips of heatmaps, see `show_heatmaps`, from images (B, 3, S, S); None: none.
    """

    def __init__(self, folder: Path, faces: Faces, strips: Callable[[Tensor], list] | None):
        self.folder, self.faces, self.strips = folder, faces, strips
        self.shown = set(np.linspace(0, len(faces) - 1, MAX_PICTURED).astype(int).tolist())
        self.pictures: dict[str, list[np.ndarray]] = {"faces.png": [], "heatmaps.png": []}

    def add(self, batch: Batch, points: np.ndarray) -> None:
        """Draw the pictured ones of a batch with points (B, K, 2) in original pixels."""
        there = []
        with drawing(self.folder):
            for i, row in enumerate(batch.rows.tolist()):
                if row not in self.shown:
                    continue
                image = read_image(self.faces.path(row), exif=self.faces.exif)
                if image is not None:
                    self.pictures["faces.png"].append(draw_face(image, None, points[i]))
                    there.append(i)
            if self.strips and there:
                self.pictures["heatmaps.png"] += self.strips(batch.images[there])

    def save(self) -> None:
        """Write what was drawn."""
        for name, tiles in self.pictures.items():
            with drawing(self.folder):
                if tiles:
                    save_picture(self.folder / name, arrange(tiles))
                    log.info(f"{len(tiles)} of them in a picture: {self.folder / name}")
