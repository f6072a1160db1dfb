"""`landmarks train kfold=5`: a run for each fold, and their out-of-fold predictions as one set."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from landmarks.commands.judging.report_judgement import judge_run
from landmarks.commands.training_run.auto_batch_size import keep_chosen
from landmarks.commands.training_run.train_settings import TrainSettings
from landmarks.data.split import load_validation_rows
from landmarks.distributed import collectives, processes
from landmarks.distributed.deal_work import dealing
from landmarks.errors import UserError
from landmarks.evaluation.read_predictions import read_predictions
from landmarks.files import replacing
from landmarks.runs.checkpoint import load_config
from landmarks.runs.find_runs import FINISHED, KFOLD
from landmarks.runs.quoting import say_setting
from landmarks.runs.run_lock import hold

log = logging.getLogger(__name__)
OF_A_START = (  # may be others when a k-fold goes on
    "epochs max_time patience device gpus threads workers compile graph logger pictured_region "
    "report kfold fold name batch_size"
).split()


def train_folds(settings: TrainSettings, train_one: Callable[[TrainSettings], int]) -> int:
    """Train the models of a k-fold, or one of them; return the exit code.

    A fold that is finished is left as it is, one that was stopped goes on. When all are finished,
    their out-of-fold predictions are gathered.

    Args:
        train_one: trains a run of its own settings.

    Raises:
        UserError: if a fold was begun with other settings.
    """
    run, count = Path(settings.run_dir), settings.kfold
    if settings.fold is not None and settings.fold >= count:
        raise UserError(f"fold={settings.fold}: the folds of kfold={count} are 0 to {count - 1}.")
    if settings.resume:
        raise UserError("kfold= goes on by the same command with run_dir=; leave resume= out.")
    wanted = range(count) if settings.fold is None else [settings.fold]
    folders = [run / f"fold-{fold}" for fold in range(count)]
    for fold in wanted:
        own = _settings_of_fold(settings, fold, folders[fold])
        if (folders[fold] / FINISHED).is_file():
            _refuse_longer(folders[fold], settings)
            log.info(f"{folders[fold]} is finished.")
            continue
        log.info(f"Fold {fold} of {count}: {folders[fold]}")
        with _held(folders[fold]):
            code = train_one(own)
        if code != 0:
            log.warning(
                f"The same command with {say_setting('run_dir', run)} goes on with this k-fold."
            )
            return code
    with dealing():  # the first process may still be writing what the last fold leaves
        left = collectives.agree(_unfinished(folders))
    if left:
        log.info(f"Not finished yet: {', '.join(left)}.")
        return 0
    _judge_folds(folders, settings)
    if processes.is_main():
        gather_folds(run, folders)
    return 0


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Make a fold's folder and hold its lock, in the process that writes there."""
    if not processes.is_main():
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with hold(folder):
        yield


def _settings_of_fold(settings: TrainSettings, fold: int, folder: Path) -> TrainSettings:
    """Return the settings of a fold's run, which goes on where it was begun."""
    split = {**settings.split, "folds": settings.kfold, "fold": fold}
    own = replace(settings, split=split, kfold=None, fold=None, run_dir=str(folder))
    last = folder / "last.pt"
    if not last.is_file():
        return own
    begun = load_config(last)
    own = keep_chosen(own, begun)
    now = own.to_config()
    other = [key for key in now if key not in OF_A_START and begun.get(key) != now[key]]
    if other:
        was, given = _differing(other[0], begun.get(other[0]), now[other[0]])
        raise UserError(
            f"{folder} was begun with {was}, not {given}: name another run_dir, or give it the "
            f"settings it had."
        )
    return replace(own, resume=str(last))


def _differing(key: str, was: object, given: object) -> tuple[str, str]:
    """Return "key=value" of both, of the first setting that differs where they are groups."""
    if not isinstance(was, dict) or not isinstance(given, dict):
        return f"{key}={was}", f"{given}"
    inner = next(name for name in {**was, **given} if was.get(name) != given.get(name))
    named = "kfold" if (key, inner) == ("split", "folds") else f"{key}.{inner}"
    return _differing(named, was.get(inner), given.get(inner))


def _refuse_longer(folder: Path, settings: TrainSettings) -> None:
    """Refuse to pass over a finished fold that is to have another number of epochs."""
    had = load_config(folder / "last.pt")["epochs"]
    if had != settings.epochs:
        word = say_setting("resume", folder)
        raise UserError(
            f"{folder} is finished with epochs={had}, not {settings.epochs}: train each fold "
            f"on by landmarks train {word} epochs={settings.epochs}, or name another run_dir."
        )


def _unfinished(folders: list[Path]) -> list[str]:
    return [folder.name for folder in folders if not (folder / FINISHED).is_file()]


def _judge_folds(folders: list[Path], settings: TrainSettings) -> None:
    """Predict the validation faces of each fold whose report has not, by all processes."""
    with dealing():
        there = collectives.agree([_is_predicted(folder) for folder in folders])
        for folder, is_there in zip(folders, there, strict=True):
            if not is_there:
                judge_run(folder, folder, settings.device, settings.workers)


def _is_predicted(folder: Path) -> bool:
    """Return whether a fold's predictions are there, of its present model: it may have been trained
    on since."""
    path = folder / "predictions.npz"
    return path.is_file() and path.stat().st_mtime_ns >= (folder / "best.pt").stat().st_mtime_ns


def gather_folds(run: Path, folders: list[Path]) -> None:
    """Write the out-of-fold predictions of all faces, and mark the k-fold as finished."""
    rows, names, points, confidence = [], [], [], []
    for folder in folders:
        found = read_predictions(folder / "predictions.npz", folder / ".points.f32")
        rows.append(load_validation_rows(folder / "split.npz"))
        if len(rows[-1]) != len(found.names):
            raise UserError(f"{folder}: predictions.npz is not of its validation faces; remove it.")
        names.append(found.names)
        points.append(found.points)
        confidence.append(found.confidence)
    order = np.argsort(np.concatenate(rows), kind="stable")
    known = {"point_names": np.array(found.point_names)} if found.point_names else {}
    if all(values is not None for values in confidence):  # a regression knows none
        known["confidence"] = np.concatenate(confidence)[order]
    with replacing(run / "predictions.npz") as part:
        np.savez(
            part,
            names=np.char.decode(np.concatenate(names)[order], "utf-8"),
            points=np.concatenate(points)[order],
            **known,
        )
    scores = [json.loads((folder / FINISHED).read_text())["val_mse"] for folder in folders]
    with replacing(run / KFOLD) as part:
        part.write_text(json.dumps({"folds": len(folders), "val_mse": scores}))
    log.info(f"Out-of-fold predictions of {len(order)} faces: {run / 'predictions.npz'}")
    word = say_setting("checkpoint", run)
    log.info(
        f"Evaluate them as one set: landmarks evaluate {word}; predict with their mean: landmarks "
        f"predict {word}"
    )
