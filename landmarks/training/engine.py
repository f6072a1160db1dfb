"""fit: the loop that trains. It is handed objects and knows no settings."""

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor

from landmarks.devices import move
from landmarks.errors import UserError
from landmarks.interrupt import Stop
from landmarks.training.budget import Budget, StepClock, memory_in_use, say_duration
from landmarks.training.progress import Display
from landmarks.training.state import Training
from landmarks.training.validation import validate

READ_EVERY = 2.0  # seconds between looks at the loss, the only times the host waits for the device


def fit(
    training: Training,
    batches,
    validation,
    *,
    budget: Budget,
    display: Display,
    stop: Stop,
    keep: Callable[[bool, bool], None],
    eyes: list | None,
    nme_name: str,
    accumulate: int = 1,
    clip: float | None = None,
    augment: Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]] | None = None,
) -> bool:
    """Train to the end of the budget, from wherever `training` stands.

    Args:
        training: model, optimiser and progress; changed in place.
        batches, validation: `landmarks.data.loader.Batches`, or anything like it.
        keep: called as keep(is_best, is_epoch) when `training` should be saved.
        stop: looked at after every step; a stop is saved and returns.
        eyes, nme_name: normaliser of the mean error, see `landmarks.metrics`.
        accumulate: batches an optimiser step; an epoch's last step may have fewer. The gradient is
            their mean.
        clip: largest norm of the gradient; None: any.
        augment: called on the device as augment(images, points, step), returns images and points.

    Returns:
        True if training is complete, False if it was stopped.

    Raises:
        UserError: if the loss or the validation error is not finite; what was saved before stays.
    """
    if training.total_steps == 0:
        training.plan(budget.guess(0))
    # A stop may have come after an epoch's last batch and before its validation.
    while training.step < training.total_steps or training.batch > 0:
        started = time.perf_counter()
        first = training.batch
        rate = _train_epoch(training, batches, budget, display, stop, accumulate, clip, augment)
        trained = max(1e-9, time.perf_counter() - started)
        waited = display.wait_share
        if stop.signal is not None:
            training.seconds = budget.spent
            keep(False, False)
            return False
        counted = training.batch - first
        errors = validate(training.judged, validation, training.precision, eyes, stop.checked)
        if stop.signal is not None:  # a resumed run validates anew
            training.seconds = budget.spent
            keep(False, False)
            return False
        if errors["faults"]:
            raise UserError(
                f"What is predicted after epoch {training.epoch + 1} is not finite, of validation "
                f"faces {errors['faults']}: lower optimizer.lr, set clip=1 or amp=off."
            )
        if not math.isfinite(errors["mse"]):
            raise UserError(
                f"The validation error is not finite after epoch {training.epoch + 1}: lower "
                f"optimizer.lr or set clip=1, unless the validation faces have no labels."
            )
        sure = errors["confidence"]
        row = {
            "epoch": training.epoch + 1,
            "step": training.step,
            "lr": rate,
            "train_loss": float(training.loss_sum) / max(1, training.batch),
            "val_mse": errors["mse"],
            f"val_nme_{nme_name}": errors["nme"],
            **({} if math.isnan(sure) else {"val_confidence": sure}),
            "seconds": round(time.perf_counter() - started, 2),
            "images_per_s": round(counted * batches.order.batch_size / trained, 1),
            "data_wait": round(waited, 3),
        }
        if hasattr(training.schedule, "observe"):
            training.schedule.observe(errors["mse"])
        is_best = errors["mse"] < training.best
        training.best = min(training.best, errors["mse"])
        training.history.append(row)
        training.epoch, training.batch = training.epoch + 1, 0
        training.loss_sum.zero_()
        training.seconds = budget.spent
        keep(is_best, True)
        display.end_epoch(row, is_best)
        if counted > 0:
            after = time.perf_counter() - started - trained
            budget.measure(trained / counted, after, training.step - 1)
            # An annealed training is not taken up again, even if a little time is left.
            if training.step < training.total_steps:
                training.plan(budget.plan(training.step, 0))
    return True


def _train_epoch(
    training: Training,
    batches,
    budget: Budget,
    display: Display,
    stop: Stop,
    accumulate: int,
    clip: float | None,
    augment: Callable | None,
) -> float:
    """Train until the epoch, the budget or a stop ends it; return the last learning rate."""
    precision, device = training.precision, training.precision.device
    training.model.train()
    batches.start_at(training.epoch, training.batch)
    last = min(len(batches), training.batch + training.total_steps - training.step)
    display.start_epoch(training.epoch + 1, last, training.batch)
    if training.batch >= last:
        return training.optimizer.param_groups[0]["lr"]
    first_bad = torch.full((), -1, device=device)
    clock = StepClock(device, needed=not budget.knows(training.step))
    rate = training.advance()
    group = 0  # batches whose gradients wait for a step: a group may begin late, and end early
    for batch in display.timed(batches):
        images = move(batch.images, device)
        points = move(batch.points, device)
        if augment is not None:
            images, points = augment(images, points, training.step)
        with precision.autocast():
            loss = training.forward(images, points)
        precision.scaler.scale(loss / accumulate).backward()
        training.batch += 1
        training.step += 1
        group += 1
        loss = loss.detach()
        training.loss_sum += loss
        first_bad = torch.where((first_bad < 0) & ~loss.isfinite(), training.batch, first_bad)
        per_step = clock.tick()
        if per_step is not None:
            budget.measure(per_step, step=training.step - 1)
            training.plan(budget.plan(training.step, training.batch))
            last = min(len(batches), training.batch + training.total_steps - training.step)
            _say_estimate(training, budget, display)
        is_last = training.batch >= last
        if training.batch % accumulate == 0 or is_last:
            precision.step(training.optimizer, clip, accumulate / group)
            group = 0
            if training.ema is not None:
                training.ema.update()
            if stop.signal is not None or is_last:
                break
            if budget.is_over():
                training.plan(training.step)
                break
        rate = training.advance()
        if display.is_due(READ_EVERY):
            display.show(training.batch, last, float(training.loss_sum) / training.batch)
            _check_finite(first_bad, training, batches)
    _check_finite(first_bad, training, batches)
    return rate


def _say_estimate(training: Training, budget: Budget, display: Display) -> None:
    left = training.total_steps - training.step
    epoch, whole = (
        budget.seconds_for(steps, training.step) for steps in (budget.steps_per_epoch, left)
    )
    epochs, of = (steps / budget.steps_per_epoch for steps in (left, training.total_steps))
    display.say(
        f"An epoch takes about {say_duration(epoch)}, the remaining {epochs:.1f} of {of:.1f} "
        f"epochs about {say_duration(whole)}; {memory_in_use(training.precision.device)} in use."
    )


def _check_finite(first_bad: Tensor, training: Training, batches) -> None:
    bad = int(first_bad)
    if bad >= 0:
        names = batches.names_of(training.epoch, bad - 1)
        raise UserError(
            f"The loss is not finite in epoch {training.epoch + 1}, batch {bad} (faces "
            f"{', '.join(names[:4])}, ...): lower optimizer.lr, set clip=1 or amp=off, and start "
            f"anew, or go on from the last epoch's checkpoint with resume=RUN."
        )
