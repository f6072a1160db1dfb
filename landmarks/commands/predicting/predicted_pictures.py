"""Pictures of faces as they are predicted. Imports no torch."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from landmarks.data.faces import Faces
from landmarks.data.images.decoding import read_image
from landmarks.outputs.pictures import arrange, draw_face, drawing, save_picture

log = logging.getLogger(__name__)
MAX_PICTURED = 16  # predicted faces in a picture
Tiles = dict[str, list[np.ndarray]]  # by the name of the picture that they are parts of


class Album:
    """Pictures of some of the faces that are predicted, drawn as they come, written at the end.

    Of several processes each draws its own faces, and the first one writes the pictures.

    Args:
        folder: where faces.png, and heatmaps.png if there are some, go.
        faces: all that are predicted.
        strips: makes strips of heatmaps, see `show_heatmaps`, from images (B, 3, S, S); None: none.
    """

    def __init__(self, folder: Path, faces: Faces, strips: Callable[[Any], list] | None):
        self.folder, self.faces, self.strips = folder, faces, strips
        self.shown = set(np.linspace(0, len(faces) - 1, MAX_PICTURED).astype(int).tolist())
        self.pictures: Tiles = {"faces.png": [], "heatmaps.png": []}

    def draw(self, batch: Any, points: np.ndarray) -> Tiles:
        """Return the pictured ones of a batch, drawn with points (B, K, 2) in original pixels."""
        there, tiles = [], {name: [] for name in self.pictures}
        with drawing(self.folder):
            for i, row in enumerate(batch.rows.tolist()):
                if row not in self.shown:
                    continue
                image = read_image(self.faces.path(row), exif=self.faces.exif)
                if image is not None:
                    tiles["faces.png"].append(draw_face(image, None, points[i]))
                    there.append(i)
            if self.strips and there:
                tiles["heatmaps.png"] += self.strips(batch.images[there])
        return tiles

    def add(self, tiles: Tiles) -> None:
        """Take what was drawn of the next batch."""
        for name, drawn in tiles.items():
            self.pictures[name] += drawn

    def save(self) -> None:
        """Write what was drawn."""
        for name, tiles in self.pictures.items():
            with drawing(self.folder):
                if tiles:
                    save_picture(self.folder / name, arrange(tiles))
                    log.info(f"{len(tiles)} of them in a picture: {self.folder / name}")
