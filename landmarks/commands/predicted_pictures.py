"""Pictures of faces as they are predicted. Imports no torch."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from landmarks.data.decoding import read_image
from landmarks.data.faces import Faces
from landmarks.runs.pictures import arrange, draw_face, drawing, save_picture

log = logging.getLogger(__name__)
MAX_PICTURED = 16  # predicted faces in a picture


class Album:
    """Pictures of some of the faces that are predicted, drawn as they come, written at the end.

    Args:
        folder: where faces.png, and heatmaps.png if there are some, go.
        faces: all that are predicted.
        strips: makes strips of heatmaps, see `show_heatmaps`, from images (B, 3, S, S); None: none.
    """

    def __init__(self, folder: Path, faces: Faces, strips: Callable[[Any], list] | None):
        self.folder, self.faces, self.strips = folder, faces, strips
        self.shown = set(np.linspace(0, len(faces) - 1, MAX_PICTURED).astype(int).tolist())
        self.pictures: dict[str, list[np.ndarray]] = {"faces.png": [], "heatmaps.png": []}

    def add(self, batch: Any, points: np.ndarray) -> None:
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
