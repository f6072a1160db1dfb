"""Those who are told of a run beside its folder: none of them can end the training."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from landmarks.runs.log import EndName, Logger

log = logging.getLogger(__name__)


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
