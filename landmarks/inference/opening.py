"""What a name of a model means: a run, a checkpoint."""

import os
from pathlib import Path
from typing import Any

from landmarks.inference.model import Model
from landmarks.runs.find import find_checkpoint


def open_model(source: str | os.PathLike, **options: Any) -> Model:
    """Return the model of a run's folder or a .pt file; options as of `Predictor`.

    Raises:
        UserError: if it is none.
    """
    return Model(open_finder(source, **options))


def open_finder(source: str | os.PathLike, **options: Any):
    """Return what finds points, see `landmarks.inference.model.Finder`; as `open_model`."""
    from landmarks.inference.predictor import Predictor  # torch comes with it

    return Predictor(find_checkpoint(Path(source).expanduser()), **options)
