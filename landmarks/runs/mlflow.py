"""MLflow: settings, errors and pictures of many runs side by side."""

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from landmarks.errors import UserError
from landmarks.files import replacing
from landmarks.runs.loggers import EndName, Logger
from landmarks.settings import flatten

STATES = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
PARAMETERS = 100  # that MLflow takes at once
ENVIRONMENT = {  # what the user's own says counts
    "MLFLOW_ALLOW_FILE_STORE": "true",  # else it wants a database, which its small package lacks
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a server that is away costs seconds, not minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


class Mlflow(Logger):
    """A run of MLflow's for each run; one that is resumed goes on with its own.

    Args:
        run_dir: the run's folder, whose name is the run's.
        uri: where MLflow keeps runs: a folder, or an address that MLflow knows.
        experiment: that the run is listed in; made where there is none.

    Raises:
        UserError: if MLflow is not installed.
    """

    def __init__(self, run_dir: Path, uri: str = "runs/mlflow", experiment: str = "landmarks"):
        super().__init__(run_dir)
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        try:
            import mlflow
        except ImportError as error:
            raise UserError(
                "logger=mlflow needs the package: pip install 'landmarks[mlflow]'."
            ) from error
        is_address = "://" in uri or uri.partition(":")[0] == "databricks"
        self.uri = uri if is_address else Path(uri).resolve().as_uri()
        self.experiment, self.mlflow, self.run = experiment, mlflow, ""

    def begin(self, settings: dict) -> None:
        """Begin a run with its settings as parameters, or go on with that of an earlier session."""
        self.client = self.mlflow.MlflowClient(tracking_uri=self.uri)
        self.run = self._find_run()
        if self.run:
            self.client.update_run(self.run, status="RUNNING")
            return
        found = self.client.get_experiment_by_name(self.experiment)
        number = found.experiment_id if found else self.client.create_experiment(self.experiment)
        self.run = self.client.create_run(number, run_name=self.run_dir.name).info.run_id
        with replacing(self.run_dir / "mlflow.json") as part:
            part.write_text(json.dumps({"uri": self.uri, "run": self.run}))
        said = [(key, str(value)) for key, value in flatten(settings).items()]
        parameters = [self.mlflow.entities.Param(key, value) for key, value in said]
        for first in range(0, len(parameters), PARAMETERS):
            self.client.log_batch(self.run, params=parameters[first : first + PARAMETERS])

    def log_epoch(self, history: list[dict], progress: float) -> None:
        """Write the last row."""
        row, now = history[-1], int(1000 * time.time())
        metrics = [
            self.mlflow.entities.Metric(key, float(value), now, row["step"])
            for key, value in row.items()
            if key != "step"
        ]
        self.client.log_batch(self.run, metrics=metrics)

    def log_picture(self, name: str, picture: np.ndarray, step: int) -> None:
        """Write a picture; the step tells it from the others."""
        self.client.log_image(self.run, picture[:, :, ::-1].copy(), key=name, step=step)

    def end(self, how: EndName) -> None:
        """Mark the run."""
        self.client.set_terminated(self.run, STATES[how])

    def _find_run(self) -> str:
        """Return the run that an earlier session began in the same place; "" where none did."""
        try:
            kept: dict[str, Any] = json.loads((self.run_dir / "mlflow.json").read_text())
        except (OSError, ValueError):
            return ""
        return str(kept["run"]) if kept.get("uri") == self.uri else ""
