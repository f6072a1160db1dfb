"""Loggers: they report on a run, epoch by epoch; of them only its folder can end it."""

import logging
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from landmarks.files import replacing
from landmarks.outputs.pictures import drawing, save_curves, save_picture

EndName = Literal["finished", "stopped", "failed"]
log = logging.getLogger(__name__)


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


class Trackers(Logger):
    """Tells several loggers; one that fails is told nothing more of this run, with a warning.

    Args:
        run_dir: the run's folder, which has everything.
        loggers: by their names in the settings.
    """

    def __init__(self, run_dir: Path, loggers: dict[str, Logger]):
        super().__init__(run_dir)
        self.loggers, self.has_begun = dict(loggers), False

    def begin(self, settings: dict) -> None:
        """See `Logger`."""
        self.has_begun = True
        self._tell("begin", settings)

    def log_epoch(self, history: list[dict], progress: float) -> None:
        """See `Logger`."""
        self._tell("log_epoch", history, progress)

    def log_picture(self, name: str, picture: np.ndarray, step: int) -> None:
        """See `Logger`."""
        self._tell("log_picture", name, picture, step)

    def end(self, how: EndName) -> None:
        """See `Logger`."""
        self._tell("end", how)
        self.loggers.clear()

    def close(self) -> None:
        """Report a run as failed that has begun and of which no end was told."""
        if self.has_begun:
            self.end("failed")

    def _tell(self, hook: str, *given: Any) -> None:
        for name, logger in [*self.loggers.items()]:
            try:
                getattr(logger, hook)(*given)
            except Exception as error:  # a server, a disk, or whatever a package of others raises
                log.debug("A logger failed.", exc_info=True)
                del self.loggers[name]
                why = " ".join(str(error).split())[:300] or type(error).__name__
                log.warning(
                    f"logger={name} failed and is told nothing more; training goes on, and "
                    f"{self.run_dir} has everything: {why}"
                )
