"""fit: the loop that trains. It is handed objects and knows no settings."""

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor

from landmarks.devices import ahead_on_device
from landmarks.distributed import collectives, processes
from landmarks.errors import UserError, say_count
from landmarks.interrupt import Stop
from landmarks.training.data_parallel import same_buffers
from landmarks.training.progress import Display
from landmarks.training.time_budget import Budget, StepClock, memory_in_use, say_duration
from landmarks.training.training_state import Training

READ_EVERY = 2.0  # seconds between looks at the loss, the only times the host waits for the device


def fit(
    training: Training,
    batches,
    judge: Callable[..., dict],
    *,
    budget: Budget,
    display: Display,
    stop: Stop,
    keep: Callable[[bool, bool], None],
) -> bool:
    """Train to the end of the budget, from wherever `training` stands.

    Args:
        training: model, optimiser and progress; changed in place.
        batches: `landmarks.data.batches.loader.Batches`, or anything like it.
        judge: called as judge(model, checked=stop.checked) after an epoch, returns its errors as
            `landmarks.training.validation.validate` does.
        stop: looked at after every step; a stop is saved and returns.
        keep: called as keep(is_best, is_epoch) when `training` should be saved.

    Returns:
        True if training is complete, False if it was stopped.

    Raises:
        UserError: if the loss or the validation error is not finite; what was saved before stays.
    """
    if training.total_steps == 0:
        training.plan(budget.guess(0))
    # A stop may have come after an epoch's last batch and before its validation.
    while training.step < training.total_steps or training.batch > 0:
        if training.batch == 0 and budget.is_hopeless(training.stale_epochs):
            display.say(f"No lower error for {say_count(training.stale_epochs, 'epoch')}: the end.")
            break
        started, first = time.perf_counter(), training.batch
        per_step = _train_epoch(training, batches, budget, display, stop)
        trained = max(1e-9, time.perf_counter() - started)
        waited, counted = display.wait_share, training.batch - first
        errors = None
        if not is_stopped(stop):
            same_buffers(training.model, training.judged)
            errors = judge(training.judged, checked=stop.checked)
        if is_stopped(stop):  # a resumed run validates anew
            training.seconds = budget.spent
            keep(False, False)
            return False
        _refuse_not_finite(errors, training.epoch + 1)
        share = training.batch / len(batches)
        row = _describe_epoch(training, errors) | {
            "seconds": round(time.perf_counter() - started, 2),
            "images_per_s": round(counted * batches.batch_size / trained, 1),
            "data_wait": round(waited, 3),
        }
        if share < 1:  # max_time has ended it
            row["epoch_share"] = round(share, 3)
        is_best = training.end_epoch(row)
        training.seconds = budget.spent
        keep(is_best, True)
        display.end_epoch(row, is_best)
        if budget.is_poor(row):
            display.say("Other trials of the search were better by now: the end.")
            break
        if counted > 0:
            after = time.perf_counter() - started - trained
            budget.measure(per_step or trained / counted, after, training.step - 1)
            # An annealed training is not taken up again, even if a little time is left.
            if training.step < training.total_steps:
                training.plan(budget.plan(training.step, 0))
    return True


def _train_epoch(
    training: Training, batches, budget: Budget, display: Display, stop: Stop
) -> float | None:
    """Train until the epoch, the budget or a stop ends it.

    Returns:
        Seconds a step, of a session's first epoch, without the first steps; None: all are alike.
    """
    device = training.precision.device
    training.model.train()
    batches.start_at(training.epoch, training.batch)
    last = _last_batch(training, batches)
    display.start_epoch(training.epoch + 1, last, training.batch)
    if training.batch >= last:
        return None
    losses = Losses(len(batches) - training.batch, device)
    clock = StepClock(device, not budget.knows(training.step), training.steps.warm_up)
    for batch in display.timed(ahead_on_device(batches, device)):
        done = training.batch + 1
        losses.add(training.backward(batch, done % training.accumulate == 0 or done >= last))
        per_step = clock.tick()
        if per_step is not None:
            budget.measure(per_step, step=training.step - 1)
            training.plan(budget.plan(training.step, training.batch))
            last = _last_batch(training, batches)
            _say_estimate(training, budget, display)
        is_last = training.batch >= last
        if training.batch % training.accumulate == 0 or is_last:
            training.update()
            if is_stopped(stop) or is_last:
                break
            if budget.is_over():
                training.plan(training.step)
                break
        if display.is_due(READ_EVERY):
            display.show(training.batch, last, float(training.loss_sum) / training.batch)
            _check_finite(losses, training, batches)
    _check_finite(losses, training, batches)
    return clock.per_step()


def is_stopped(stop: Stop) -> bool:
    """Say whether a stop was asked for, of any process; all come here at the same step."""
    if processes.world() > 1:
        stop.signal = collectives.largest(stop.signal or 0) or None
    return stop.signal is not None


def _last_batch(training: Training, batches) -> int:
    """Return how many batches of the epoch under way are trained on: all, or up to the end."""
    return min(len(batches), training.batch + training.total_steps - training.step)


def _describe_epoch(training: Training, errors: dict) -> dict:
    """Return what an epoch has come to, the first columns of its row in metrics.csv."""
    row = {
        "epoch": training.epoch + 1,
        "step": training.step,
        "lr": training.rate,
        "train_loss": float(training.loss_sum) / max(1, training.batch),
        "val_mse": errors["mse"],
        "val_nme": errors["nme"],
    }
    if "rmse" in errors:
        row["val_rmse"] = errors["rmse"]
    sure = errors["confidence"]
    return row if math.isnan(sure) else {**row, "val_confidence": sure}


def _refuse_not_finite(errors: dict, epoch: int) -> None:
    if errors["faults"]:
        raise UserError(
            f"Predictions after epoch {epoch} are not finite for validation faces "
            f"{errors['faults']}: lower optimizer.lr, set clip=1 or amp=off."
        )
    if not math.isfinite(errors["mse"]):
        raise UserError(
            f"The validation error is not finite after epoch {epoch}: lower optimizer.lr or set "
            f"clip=1, unless the validation faces have no labels or cannot be read."
        )


def _say_estimate(training: Training, budget: Budget, display: Display) -> None:
    left = training.total_steps - training.step
    if left == 0:
        return
    epoch, whole = (
        budget.seconds_for(steps, training.step) for steps in (budget.steps_per_epoch, left)
    )
    epochs, of = (steps / budget.steps_per_epoch for steps in (left, training.total_steps))
    display.say(
        f"An epoch takes about {say_duration(epoch)}, the remaining {epochs:.1f} of {of:.1f} "
        f"epochs about {say_duration(whole)}; {memory_in_use(training.precision.device)} in use."
    )


class Losses:
    """The losses of an epoch's batches, kept on the device until somebody looks.

    Args:
        count: of the batches.
    """

    def __init__(self, count: int, device: torch.device):
        self.values, self.done = torch.zeros(count, device=device), 0

    def add(self, loss: Tensor) -> None:
        """Keep the loss of the next batch."""
        self.values[self.done].copy_(loss)
        self.done += 1

    def first_bad(self) -> int | None:
        """Return which of those kept is the first that is not finite; this waits for the device."""
        bad = (~self.values[: self.done].isfinite()).nonzero()
        return int(bad[0]) if len(bad) else None


def _check_finite(losses: Losses, training: Training, batches) -> None:
    found = losses.first_bad()
    if found is not None:
        bad = training.batch - losses.done + found + 1
        names = batches.names_of(training.epoch, bad - 1)
        raise UserError(
            f"The loss is not finite in epoch {training.epoch + 1}, batch {bad} (faces "
            f"{', '.join(names[:4])}, ...): lower optimizer.lr, set clip=1 or amp=off, and start "
            f"anew, or go on from the last epoch's checkpoint with resume=RUN."
        )
