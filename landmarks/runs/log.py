"""Loggers: they report on a run, epoch by epoch."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from landmarks.files import replacing
from landmarks.outputs.pictures import drawing, save_curves, save_picture

EndName = Literal["finished", "stopped", "failed"]


class Logger:
    """Reports on a run; hooks that a logger does not need do nothing.

    Args:
        run_dir: the run's folder; a logger that leaves files leaves them there.
    """

    def __init__(self, run_dir: Path):
        self.run_dir = run_dir

    def begin(self, settings: dict) -> None:
        """Report a run that begins, or goes on.

        Args:
            settings: as a checkpoint keeps them: plain JSON data.
        """

    def log_epoch(self, history: list[dict], progress: float) -> None:
        """Report the last epoch, or those of an earlier session.

        Args:
            history: one row an epoch, as in metrics.csv, the last one new: names -> numbers, errors
                in original pixels.
            progress: share of training that is done, 0 to 1.
        """

    def log_picture(self, name: str, picture: np.ndarray, step: int) -> None:
        """Show a picture of validation faces.

        Args:
            name: "faces", with true and predicted points, or "heatmaps".
            picture: (H, W, 3) uint8 BGR.
            step: batches that have been trained on.
        """

    def end(self, how: EndName) -> None:
        """Report the end of a session: "stopped" can go on later."""


class RunFiles(Logger):
    """metrics.csv, curves.png and the last pictures, which every run leaves."""

    def log_epoch(self, history: list[dict], progress: float) -> None:
        """Write metrics.csv and curves.png anew."""
        with replacing(self.run_dir / "metrics.csv") as part:
            pd.DataFrame(history).to_csv(part, index=False)
        with drawing(self.run_dir):
            save_curves(self.run_dir / "curves.png", history)

    def log_picture(self, name: str, picture: np.ndarray, step: int) -> None:
        """Write NAME.png anew."""
        save_picture(self.run_dir / f"{name}.png", picture)
