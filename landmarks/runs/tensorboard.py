"""TensorBoard's event files, beside what every run leaves."""

from pathlib import Path

import numpy as np

from landmarks.errors import UserError
from landmarks.runs.loggers import EndName, Logger


class TensorBoard(Logger):
    """Scalars of every epoch, and the pictures.

    Raises:
        UserError: if TensorBoard is not installed.
    """

    def __init__(self, run_dir: Path):
        super().__init__(run_dir)
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UserError(
                "logger=tensorboard needs the package: pip install 'landmarks[tensorboard]'."
            ) from error
        self.writer = SummaryWriter(run_dir)

    def log_epoch(self, history: list[dict], progress: float) -> None:
        """Write the last row."""
        row = history[-1]
        for key in row:
            if key not in ("epoch", "step"):
                self.writer.add_scalar(key, row[key], row["step"])
        self.writer.flush()

    def log_picture(self, name: str, picture: np.ndarray, step: int) -> None:
        """Write a picture; the step tells it from the others."""
        self.writer.add_image(name, picture[:, :, ::-1].copy(), step, dataformats="HWC")
        self.writer.flush()

    def end(self, how: EndName) -> None:
        """Close the file."""
        self.writer.close()
