"""Weights & Biases: settings, errors and pictures, in the run's folder until they are sent."""

import os
import uuid
from pathlib import Path
from typing import Literal

import numpy as np

from landmarks.errors import UserError
from landmarks.files import replacing
from landmarks.runs.loggers import EndName, Logger

WAIT_SECONDS = 30.0  # at most, for a server
QUIET = {  # of the run that is begun
    **{"console": "off", "silent": True, "disable_git": True, "save_code": False},
    **{"init_timeout": WAIT_SECONDS, "login_timeout": WAIT_SECONDS},
}


class Wandb(Logger):
    """A run of W&B's for each run; one that is resumed goes on with its own.

    Args:
        run_dir: the run's folder; W&B's files come into the folder wandb in it.
        mode: "offline": nothing is sent, `wandb sync` does that; "online": all is sent at once.
        project: that the run is listed in.
        entity: whose project it is, a user or a team; None: the user's own.

    Raises:
        UserError: if W&B's package is not installed.
    """

    def __init__(
        self,
        run_dir: Path,
        mode: Literal["offline", "online"] = "offline",
        project: str = "landmarks",
        entity: str | None = None,
    ):
        super().__init__(run_dir)
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        try:
            import wandb
        except ImportError as error:
            raise UserError(
                "logger=wandb needs the package: pip install 'landmarks[wandb]'."
            ) from error
        self.mode, self.project, self.entity, self.wandb = mode, project, entity, wandb

    def begin(self, settings: dict) -> None:
        """Begin a run with its settings, or go on with that of an earlier session."""
        kept = self.run_dir / "wandb" / "run_id"
        if not kept.is_file():
            kept.parent.mkdir(exist_ok=True)
            with replacing(kept) as part:
                part.write_text(uuid.uuid4().hex)
        self.run = self.wandb.init(
            project=self.project,
            entity=self.entity,
            name=self.run_dir.name,
            id=kept.read_text(),
            resume="allow" if self.mode == "online" else None,
            dir=self.run_dir,
            mode=self.mode,
            config=settings,
            reinit="create_new",  # a sweep's runs share a process
            settings=self.wandb.Settings(**QUIET),
        )

    def log_epoch(self, history: list[dict], progress: float) -> None:
        """Write the last row."""
        row = history[-1]
        self.run.log({key: value for key, value in row.items() if key != "step"}, step=row["step"])

    def log_picture(self, name: str, picture: np.ndarray, step: int) -> None:
        """Write a picture; the step tells it from the others."""
        self.run.log({name: self.wandb.Image(picture[:, :, ::-1].copy())}, step=step)

    def end(self, how: EndName) -> None:
        """Close the run, and wait until what is sent has been sent."""
        self.run.finish(exit_code=int(how == "failed"))
