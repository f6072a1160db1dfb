"""What training starts from: chance, published weights, another run, or its own last checkpoint."""

import logging
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from landmarks.commands.training_run.train_settings import TrainSettings
from landmarks.commands.training_run.training_length import refuse_finished
from landmarks.data.batches.loader import Batches
from landmarks.errors import UserError
from landmarks.inference.rebuild_model import check_memory_of, check_progress, check_settings
from landmarks.models.backbone_weights import PUBLISHED, check_weights
from landmarks.models.freezing import refuse_untrained
from landmarks.runs.checkpoint import Checkpoint, load_checkpoint
from landmarks.runs.find_runs import FINISHED, find_checkpoint
from landmarks.runs.quoting import say_setting
from landmarks.training.training_state import Training, count_stale

log = logging.getLogger(__name__)
PARTING = (  # an optimizer's parameters into groups
    ("model", "freeze"),
    ("optimizer", "backbone_lr_scale"),
    ("optimizer", "layer_decay"),
)


class InitialWeights(NamedTuple):
    """Where the first weights come from.

    Attributes:
        model: its settings.
        checkpoint: of another run, that they are taken from; None: `model` says where from.
        source: what to call it in messages.
    """

    model: dict
    checkpoint: Checkpoint | None = None
    source: str = ""


def settle_initial_weights(settings: TrainSettings) -> InitialWeights:
    """Return the model's settings, and the checkpoint that its weights are taken from, if any.

    A file of weights that cannot be read is refused here, before the data are read, which can take
    minutes. Published weights come after the data: without a network, faults of the data count too.

    Raises:
        UserError: if what the settings start from is not there.
    """
    model, init = settings.model, settings.init
    wanted = model.get("weights", "none")
    blank = {key: "none" if key == "weights" else model[key] for key in model}
    if init and not settings.resume:
        if wanted != "none":
            log.info(f"model.weights={wanted} is not looked for: init={init} fills the model.")
        path = find_checkpoint(Path(init))
        return InitialWeights(blank, _open(path), str(path))
    if settings.resume:
        _refuse_finished(settings)
        if model.get("freeze") == "auto":  # as the weights decided that the run began with
            blank["freeze"] = not init and wanted != "none"
        return InitialWeights(blank)
    if wanted == "none":
        refuse_untrained(model)
    # Where the data are not there either, the sentence about that comes first.
    data_is_there = Path(settings.data.get("root") or ".").is_dir()
    if data_is_there and wanted not in PUBLISHED:
        check_weights(model.get("backbone"), wanted)
    return InitialWeights(model)


def _refuse_finished(settings: TrainSettings) -> None:
    """Refuse to resume a finished run whose limits are not raised, before the data are read."""
    path = Path(settings.resume)
    if not (path.parent / FINISHED).is_file():
        return
    checkpoint = load_checkpoint(path)
    with suppress(AttributeError, KeyError, RuntimeError, TypeError, ValueError):  # see restore
        check_progress(checkpoint.training)
        done = (checkpoint.training[name] for name in ("epoch", "seconds"))
        refuse_finished(
            path.parent,
            *done,
            epochs=settings.epochs,
            max_time=settings.max_time,
            patience=settings.patience,
            stale_epochs=count_stale(checkpoint.training["history"]),
            before=checkpoint.config,
        )


def _open(path: Path) -> Checkpoint:
    """Return the checkpoint that a new run takes weights from."""
    checkpoint = load_checkpoint(path)
    check_settings(checkpoint.config)
    return checkpoint


def restore(training: Training, settings: TrainSettings, batches: Batches) -> dict:
    """Go on from a checkpoint of the same run; return the settings that it was trained with.

    Args:
        training: as its settings build it; changed in place.
        settings: `input_size` is what it was: errors at another one do not compare.
        batches: of training; there may be other ones an epoch than before.

    Raises:
        UserError: if the checkpoint holds no training, or one of other settings.
    """
    path, input_size = Path(settings.resume), settings.input_size
    checkpoint = load_checkpoint(path)
    if checkpoint.training is None:
        raise UserError(
            f"{path} holds a model and no training to go on with: resume from a last.pt of this "
            f"version, or start a new run from it with {say_setting('init', path)}."
        )
    config, anew = checkpoint.config, say_setting("init", path.parent)
    if config["input_size"] != input_size:
        raise UserError(
            f"{path} is of input_size={config['input_size']}, not {input_size}: resume with that, "
            f"or start a new run from it with {anew}."
        )
    try:
        check_progress(checkpoint.training)
        training.load_state_dict(checkpoint.training)
        check_memory_of(training.optimizer)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path} is of another model or optimizer than {_say_parts(config, settings)} make; "
            f"resume with the run's own, or start a new run from it with {anew} ({reason})."
        ) from error
    before = min(config["batch_size"], len(batches.rows))
    if batches.batch_size != before:
        training.change_batch_size(before, batches.batch_size, len(batches))
    log.info(f"Going on from {path}: epoch {training.epoch + 1}, batch {training.batch + 1}.")
    return config


def _say_parts(before: dict, now: TrainSettings) -> str:
    """Name those of the settings that part an optimizer's parameters which are others now."""
    given = []
    for group, name in PARTING:
        own, other = (node.get(name) for node in (before[group], getattr(now, group)))
        if own != other:
            given.append(f"{group}.{name}={other} (here {own})")
    return " and ".join(given) or "these settings"
