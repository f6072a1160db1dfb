"""What a training keeps in its run's folder: checkpoints, curves, pictures, and how it ended."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from landmarks.commands.predicting.model_pictures import has_heatmaps, picture_validation
from landmarks.commands.training_run.train_settings import TrainSettings
from landmarks.commands.training_run.training_inputs import Inputs, draw_augmented
from landmarks.distributed.processes import is_main
from landmarks.files import replacing
from landmarks.outputs.pictures import drawing
from landmarks.runs.checkpoint import Checkpoint, save_checkpoint
from landmarks.runs.find_runs import FAILED, FINISHED
from landmarks.runs.loggers import EndName, Logger, RunFiles, Trackers
from landmarks.training.training_state import Training
from landmarks.training.validation import EmptyMapsWarning


class RunFolder:
    """Keeps a training in its run's folder; of several processes only the first one does.

    Args:
        training: kept, as it is whenever `keep` is called.
        trackers: tell people of it, beside the files that every run leaves.
    """

    def __init__(
        self, settings: TrainSettings, training: Training, inputs: Inputs, trackers: Trackers
    ):
        self.path, self.settings = Path(settings.run_dir), settings
        self.training, self.inputs = training, inputs
        self.loggers: list[Logger] = [RunFiles(self.path), trackers]
        if has_heatmaps(training.model):
            self.loggers.append(EmptyMapsWarning(self.path))

    def begin(self) -> None:
        """Draw faces as the model gets them; write what the last session may have not written."""
        inputs, training = self.inputs, self.training
        if not is_main():
            return
        for logger in self.loggers:
            logger.begin(self.settings.to_config())
        if training.history:
            self._log_epoch()
        if inputs.augment is not None:
            rows = np.random.default_rng(self.settings.seed).permutation(inputs.training.rows)
            path, source = self.path / "augmented.png", inputs.training.source
            draw_augmented(path, source, rows, inputs.augment)

    def keep(self, is_best: bool, is_epoch: bool) -> None:
        """Save last.pt, and best.pt if it is the best; after an epoch tell people of it, too."""
        if not is_main():
            return
        training = self.training
        checkpoint = self._describe()
        for mark in (FINISHED, FAILED):  # of what it was before this start
            (self.path / mark).unlink(missing_ok=True)
        if is_best:
            save_checkpoint(self.path / "best.pt", checkpoint)
        whole = replace(checkpoint, training=training.state_dict())
        save_checkpoint(self.path / "last.pt", whole)
        if is_epoch:
            self._log_epoch()
            self._log_pictures()

    def finish(self) -> None:
        """Mark the run as one that has taken its last step."""
        (self.path / FAILED).unlink(missing_ok=True)
        with replacing(self.path / FINISHED) as part:
            part.write_text(json.dumps(self._metrics()))
        self._end("finished")

    def stop(self) -> None:
        """Let people know that the run was stopped, and can go on."""
        self._end("stopped")

    def _end(self, how: EndName) -> None:
        for logger in self.loggers:
            logger.end(how)

    def _log_epoch(self) -> None:
        for logger in self.loggers:
            logger.log_epoch(self.training.history, self.training.progress)

    def _log_pictures(self) -> None:
        training = self.training
        with drawing(self.path):
            pictures = picture_validation(training.judged, self.inputs, training.precision)
            for name, picture in pictures:
                for logger in self.loggers:
                    logger.log_picture(name, picture, training.step)

    def _describe(self) -> Checkpoint:
        """Return the model as it is now."""
        inputs = self.inputs
        return Checkpoint(
            config=self.settings.to_config(),
            num_points=inputs.faces.num_points,
            layout=inputs.layout.to_dict(),
            flip=None if inputs.flip is None else inputs.flip.tolist(),
            unlabelled=np.flatnonzero(~inputs.labelled).tolist(),
            metrics=self._metrics(),
            places=inputs.places,
            weights=self.training.judged.state_dict(),
        )

    def _metrics(self) -> dict:
        return self.training.history[-1] if self.training.history else {}
