"""The files of a run that people read: metrics.csv, pictures, TensorBoard; empty-map warnings."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from landmarks.errors import UserError
from landmarks.files import replacing
from landmarks.runs.pictures import draw_face, drawing, save_curves, save_faces

log = logging.getLogger(__name__)
EMPTY_CONFIDENCE = 0.1  # mean confidence below which maps are called empty ...
SETTLED_SHARE = 0.1  # ... after this share of training: all maps start near zero
MIN_STEPS = 200  # steps in which maps need not have risen


class RunLog:
    """The readable files of a run.

    Args:
        run_dir: the run's folder.
        tensorboard: also write TensorBoard's event files there.

    Raises:
        UserError: if TensorBoard is wanted and not installed.
    """

    def __init__(self, run_dir: Path, tensorboard: bool = False):
        self.run_dir = run_dir
        self.warned = False
        self.writer = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise UserError(
                    "tensorboard=true needs the package: pip install 'landmarks[tensorboard]'."
                ) from error
            self.writer = SummaryWriter(run_dir)

    def write(self, history: list[dict]) -> None:
        """Write metrics.csv and curves.png; add the last row to TensorBoard."""
        with replacing(self.run_dir / "metrics.csv") as part:
            pd.DataFrame(history).to_csv(part, index=False)
        with drawing(self.run_dir):
            save_curves(self.run_dir / "curves.png", history)
        if self.writer is None:
            return
        with drawing(self.run_dir):
            row = history[-1]
            for key in row:
                if key not in ("epoch", "step"):
                    self.writer.add_scalar(key, row[key], row["step"])
            self.writer.flush()

    def draw(self, images: list[np.ndarray], truth: np.ndarray, predicted: np.ndarray) -> None:
        """Write faces.png: truth in green, prediction in red.

        Args:
            images: n images (H, W, 3) uint8 BGR.
            truth, predicted: (n, K, 2) in their pixels.
        """
        tiles = [draw_face(*face) for face in zip(images, truth, predicted, strict=True)]
        save_faces(self.run_dir / "faces.png", tiles)
        if self.writer is not None:
            grid = np.hstack(tiles)[:, :, ::-1].copy()
            self.writer.add_image("faces", grid, dataformats="HWC")
            self.writer.flush()

    def draw_heatmaps(self, strips: list[np.ndarray]) -> None:
        """Write heatmaps.png: one strip of `draw_heatmaps` below the other."""
        save_faces(self.run_dir / "heatmaps.png", strips, columns=1)
        if self.writer is not None:
            grid = np.vstack(strips)[:, :, ::-1].copy()
            self.writer.add_image("heatmaps", grid, dataformats="HWC")
            self.writer.flush()

    def warn_of_empty_maps(self, row: dict, progress: float) -> None:
        """Say once that the heatmaps of a row of the history have collapsed to zero.

        Nearly all cells of all targets are zero, so a network may learn to predict zero everywhere.
        A training of few steps is warned at its end only.

        Args:
            row: has "step", and "val_confidence" if the model has heatmaps.
            progress: share of training that is done, 0 to 1.
        """
        if (
            self.warned
            or progress < SETTLED_SHARE
            or not row.get("val_confidence", 1.0) < EMPTY_CONFIDENCE
        ):
            return
        found = f"the maxima of labelled points' maps are {row['val_confidence']:.3f} in the mean"
        if row["step"] < MIN_STEPS:
            if progress >= 1:
                log.warning(
                    "The heatmaps are still empty after %d steps: %s, not near 1. These are few "
                    "steps; train for longer.",
                    row["step"],
                    found,
                )
            return
        self.warned = True
        log.warning(
            "The heatmaps have collapsed to zero: after %.0f %% of training, %d steps, %s, not "
            "near 1; %s with a higher model.sigma or model.weight, a lower optimizer.lr, or "
            "another loss.",
            100 * progress,
            row["step"],
            found,
            "if it stays so, start anew" if progress < 1 else "train for longer, or anew",
        )
