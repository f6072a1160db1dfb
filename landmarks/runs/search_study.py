"""A search's study: what its trials try and how far they come, in one file that all jobs share."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landmarks.errors import UserError
from landmarks.files import refuse_foreign
from landmarks.settings import Count, PositiveInt

STUDY = "study.log"  # the file of a new study, in its sweep's folder
START = b'{"op_code"'  # of such a file
FIRST = 4  # trials before a search learns from them and stops poor ones
EPOCHS = 1  # that a trial has at least


@dataclass(frozen=True, kw_only=True)
class Search:
    """What a search is told, of configs/hparams_search."""

    trials: PositiveInt
    study: str | None
    prune: bool
    space: dict
    trial: Count | None = None


def begin_trial(search: dict, given: dict[str, Any], seed: int) -> tuple[int, dict[str, Any]]:
    """Begin a trial; return its number in the study and the settings that it tries.

    The first one of a study tries the settings that are given.

    Args:
        search: see `Search`; "study" names the file.
        given: the job's settings by their whole keys.

    Raises:
        UserError: if Optuna is not installed, or the space names what is no setting.
    """
    space = dict(_ranges(search["space"]))
    for key in space:
        if key not in given:
            raise UserError(f"search.space.{key}: there is no setting '{key}' to search.")
    study = _open(search, seed)
    if not study.get_trials(deepcopy=False):
        start = {key: _within(given[key], told) for key, told in space.items()}
        study.enqueue_trial(start)
    trial = study.ask()
    return trial.number, {key: _suggest(trial, key, told) for key, told in space.items()}


def require_study(path: Path) -> None:
    """Raise UserError if a file that is to be gone on with is missing, or is no study."""
    refuse_foreign(path, START, f"search.study={path}")
    if not path.is_file():
        raise UserError(
            f"search.study={path}: there is no such study; name the {STUDY} in the folder of an "
            f"earlier search, or leave it out to begin a new one."
        )


def is_poor(search: dict, epoch: int, error: float) -> bool:
    """Note a trial's error after an epoch; say whether it ends, as the others had lower ones.

    Args:
        search: see `Search`; "trial" is its number.
        epoch: from 1.
        error: to be made lower.
    """
    import optuna

    study = _open(search)
    (found,) = (one for one in study.get_trials(deepcopy=False) if one.number == search["trial"])
    trial = optuna.trial.Trial(study, found._trial_id)
    trial.report(error, epoch)
    if not search["prune"] or not trial.should_prune():
        return False
    study.tell(found.number, state=optuna.trial.TrialState.PRUNED)
    return True


def end_trial(search: dict, error: float | None) -> bool:
    """Note what a trial has come to, None if it failed; return whether it ended as a poor one."""
    import optuna

    study = _open(search)
    (found,) = (one for one in study.get_trials(deepcopy=False) if one.number == search["trial"])
    if not found.state.is_finished():
        failed = optuna.trial.TrialState.FAIL if error is None else None
        study.tell(found.number, error, state=failed)
    return found.state == optuna.trial.TrialState.PRUNED


def _open(search: dict, seed: int = 0):
    try:
        import optuna
        from optuna.storages.journal import JournalFileBackend
    except ImportError as error:
        raise UserError(
            "hparams_search= needs the package: pip install 'landmarks[optuna]'."
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = Path(search["study"])
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(
            storage=optuna.storages.JournalStorage(JournalFileBackend(str(path))),
            study_name="landmarks",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(FIRST, EPOCHS),
        )
        # Each job has a sampler of its own, which must not draw what another one has drawn.
        drawn = 1000 * seed + len(study.get_trials(deepcopy=False))
        study.sampler = optuna.samplers.TPESampler(n_startup_trials=FIRST, seed=drawn)
    return study


def _ranges(space: dict, before: str = "") -> Iterator[tuple[str, dict]]:
    """Yield the whole key and range of each setting of a space."""
    for name, told in space.items():
        if isinstance(told, dict) and not {"low", "choices"} & told.keys():
            yield from _ranges(told, f"{before}{name}.")
        elif told is not None:
            yield f"{before}{name}", told


def _within(value: Any, told: dict) -> Any:
    """Return the value of a range's that is nearest to a given one."""
    if "choices" in told:
        return value if value in told["choices"] else told["choices"][0]
    return min(max(value, told["low"]), told["high"])


def _suggest(trial, key: str, told: dict) -> Any:
    if "choices" in told:
        return trial.suggest_categorical(key, told["choices"])
    low, high = told["low"], told["high"]
    whole = isinstance(low, int) and isinstance(high, int)
    suggest = trial.suggest_int if whole else trial.suggest_float
    return suggest(key, low, high, log=told.get("log", False))
