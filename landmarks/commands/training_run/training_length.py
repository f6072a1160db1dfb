"""How long a run trains, by its epochs and max_time, and what a resume makes of that."""

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from landmarks.commands.training_run.train_settings import TrainSettings
from landmarks.commands.training_run.training_inputs import Inputs
from landmarks.errors import UserError
from landmarks.runs.find_runs import FINISHED
from landmarks.runs.quoting import say_setting
from landmarks.runs.search_study import is_poor
from landmarks.settings import parse_duration
from landmarks.training.memory_estimate import Estimate, estimate_step
from landmarks.training.time_budget import Budget, say_duration
from landmarks.training.training_state import Training

log = logging.getLogger(__name__)
BACKWARD = 3.0  # a step's cost to that of its forward pass alone


def open_budget(
    settings: TrainSettings,
    training: Training,
    inputs: Inputs,
    needed: Estimate | None,
    started: float,
) -> Budget:
    """Return the budget of a training that goes on from where it stands.

    Args:
        needed: by a step, see `compare_thawed`.
        started: time.monotonic() when the command started.
    """
    frozen = training.model.frozen_epochs
    return Budget(
        settings.epochs,
        _seconds(settings.max_time),
        len(inputs.training),
        # Until it has been seen, a face is taken to cost as much to validate as to train on; it
        # costs a third of it (two with flip_test), but for the reading of images.
        len(inputs.validation.rows) / len(inputs.training.rows),
        started - training.seconds,
        frozen_epochs=0 if frozen == math.inf else frozen,
        thaw=compare_thawed(training, needed, *inputs.shapes),
        patience=settings.patience,
        is_poor=_watch_trial(settings),
    )


def _watch_trial(settings: TrainSettings) -> Callable[[dict], bool]:
    """Return what says after an epoch whether this is a search's trial that ends early."""
    search = settings.search
    if search is None or search.get("trial") is None or settings.resume:
        return lambda row: False
    return lambda row: is_poor(search, row["epoch"], row["val_mse"])


def compare_thawed(
    training: Training, thawed: Estimate | None, images: tuple[int, ...], points: tuple[int, ...]
) -> float:
    """Return how many times as much a step costs once the first epochs' frozen backbone is not.

    Args:
        training: its model is frozen as in the first epoch, if it is to be.
        thawed: what a step of these shapes needs that is not frozen; None: not known.
        images, points: see `estimate_step`.
    """
    if not training.epoch < training.model.frozen_epochs < math.inf:
        return 1.0
    if thawed is None:
        return BACKWARD
    training.model.advance(0.0, 0)
    return thawed.flops / estimate_step(training, images, points).flops


def refuse_finished(
    run: Path,
    epoch: int,
    seconds: float,
    *,
    epochs: int | None,
    max_time: str | float | None,
    patience: int | None,
    stale_epochs: int,
    before: dict,
) -> None:
    """Refuse to train a finished run on if no limit that ended it is raised.

    Args:
        epoch, seconds: that it has been trained for.
        epochs, max_time, patience: the limits now.
        stale_epochs: the last ones, without a lower error.
        before: the settings it was last trained with.
    """
    limit, limit_before = _seconds(max_time), _seconds(before["max_time"])
    reached = []
    if epochs is not None and epoch >= epochs:
        reached.append(f"epochs= (now {epochs}) above {epoch}")
    # An annealed training is not taken up again for the little time that was left.
    ended_in_time = before["epochs"] and epoch >= before["epochs"]
    is_annealed = not ended_in_time and limit_before is not None
    if limit is not None and (limit <= seconds or (is_annealed and limit <= limit_before)):
        least = f" above {before['max_time']}" if is_annealed and limit < limit_before else ""
        reached.append(_say_time(max_time, seconds) + least)
    if patience is not None and stale_epochs >= patience:
        reached.append(f"patience= (now {patience}) above {stale_epochs}")
    if reached:
        _refuse(run, epoch, reached)


def _say_time(max_time: str | float, seconds: float) -> str:
    return f"max_time= (now {max_time}, of which {say_duration(seconds)} are used)"


def _refuse(run: Path, epoch: int, reached: list[str]) -> NoReturn:
    raise UserError(
        f"{run} was finished with epoch {epoch}, and nothing is left to do: to train on, raise "
        f"{' and '.join(reached)} beside {say_setting('resume', run)}."
    )


def settle_length(
    settings: TrainSettings, training: Training, budget: Budget, before: dict
) -> None:
    """Plan how a resumed run goes on: as it was planned, or anew where its limits are others.

    Args:
        before: the settings it was last trained with.

    Raises:
        UserError: if the run is finished and this start has taken all the time that is left.
    """
    run, epochs, max_time = Path(settings.run_dir), settings.epochs, settings.max_time
    limit, limit_before = _seconds(max_time), _seconds(before["max_time"])
    is_finished = (run / FINISHED).is_file()
    if is_finished and not budget.has_time():
        _refuse(run, training.epoch, [_say_time(max_time, training.seconds)])
    if is_finished or (epochs, limit) != (before["epochs"], limit_before):
        training.plan_anew(budget.guess(training.step))
        limits = {"epochs": epochs, "max_time": max_time}
        said = " ".join(f"{key}={value}" for key, value in limits.items() if value is not None)
        log.info(
            f"Its length is now {said or 'without limit'}: it goes on as after "
            f"{100 * training.progress:.0f} % of such a run, at "
            f"{100 * training.schedule(training.progress):.3g} % of the highest learning rate."
        )
    elif limit is None and training.total_steps != budget.most:  # another number of batches
        training.plan_anew(budget.most)


def _seconds(max_time: str | float | None) -> float | None:
    return None if max_time is None else parse_duration(max_time)
