"""What changes while a model trains, and goes into a checkpoint so that training can go on."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from landmarks.augment.augmentation import Augment
from landmarks.devices import move
from landmarks.runs.checkpoint import random_state, restore_random_state
from landmarks.settings import Graph
from landmarks.training.precision import Precision
from landmarks.training.schedules import Schedule
from landmarks.training.training_steps import RecordedSteps, Steps
from landmarks.training.weight_averaging import Ema

PLAIN = "epoch batch step total_steps planned_at planned_from seconds best history".split()


def count_stale(history: list[dict]) -> int:
    """Return how many epochs of a history came after the one with the lowest error."""
    errors = [row["val_mse"] for row in history]
    return len(errors) - 1 - errors.index(min(errors)) if errors else 0


@dataclass(eq=False)
class Training:
    """A model in training.

    Args:
        model: trained.
        optimizer: over its parameters.
        schedule: share of training done -> factor on the learning rates.
        precision: autocast and loss scaling.
        ema: the averaged model, which is the one judged and kept; None: the model itself is.
        forward: what is called to train, the model or its compiled form; None: the model.
        augment: of the batches, on the device; None: there is none.
        accumulate: batches an optimiser step; an epoch's last step may have fewer. The gradient is
            their mean.
        clip: largest norm of the gradient; None: any.
        graph: record the step's work and replay it, see `landmarks.training.training_steps`;
            "auto": if that fails, go on without.

    Attributes:
        epoch: epochs finished.
        batch: batches done in the epoch under way.
        step: batches done in all; training ends at `total_steps`.
        planned_at, planned_from: the step at which that was last planned, and `progress` there.
        seconds: spent on this run so far, by all its sessions.
        best: the lowest validation error so far, square pixels.
        history: one row an epoch, plain JSON data.
        loss_sum: summed over the batches of the epoch under way, on the device.
        waiting: batches whose gradients wait for a step: a group may begin late, and end early.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    precision: Precision
    ema: Ema | None = None
    forward: Callable | None = None
    augment: Augment | None = None
    accumulate: int = 1
    clip: float | None = None
    graph: Graph = False
    epoch: int = 0
    batch: int = 0
    step: int = 0
    total_steps: int = 0
    planned_at: int = 0
    planned_from: float = 0.0
    seconds: float = 0.0
    best: float = math.inf
    history: list[dict] = field(default_factory=list)
    loss_sum: Tensor | None = None
    waiting: int = 0

    def __post_init__(self):
        if self.forward is None:
            self.forward = self.model
        self.loss_sum = torch.zeros((), device=self.precision.device)
        for group in self.optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        parts = self.forward, self.optimizer, self.precision
        how = {"augment": self.augment, "accumulate": self.accumulate, "clip": self.clip}
        if self.graph:
            self.steps = RecordedSteps(*parts, **how, must=self.graph is True)
        else:
            self.steps = Steps(*parts, **how)

    @property
    def judged(self) -> nn.Module:
        """The model that is validated and kept."""
        return self.model if self.ema is None else self.ema.model

    @property
    def progress(self) -> float:
        """Share of training that is done, 0 to 1: what all schedules follow."""
        if self.step >= self.total_steps > 0:
            return 1.0
        share = (self.step - self.planned_at) / max(1, self.total_steps - self.planned_at)
        return self.planned_from + (1 - self.planned_from) * share

    @property
    def stale_epochs(self) -> int:
        """Epochs since the one with the lowest validation error."""
        return count_stale(self.history)

    def plan(self, total_steps: int) -> None:
        """Let training end at `total_steps`; `progress` goes on from where it is, never back."""
        if total_steps != self.total_steps:
            self.planned_at, self.planned_from = self.step, self.progress
            self.total_steps = total_steps

    def plan_anew(self, total_steps: int) -> None:
        """Let training end at `total_steps`; `progress` is as if that had always been the plan."""
        self.planned_at, self.planned_from, self.total_steps = 0, 0.0, total_steps

    @property
    def rate(self) -> float:
        """The learning rate of the last batch, of the first group of parameters."""
        return self.rates[0]

    def advance(self) -> None:
        """Set rates and the model's own schedules for the coming batch."""
        self.model.advance(self.progress, self.epoch)
        factor = self.schedule(self.progress)
        self.rates = [group["initial_lr"] * factor for group in self.optimizer.param_groups]
        self.steps.set_rates(self.rates)

    def backward(self, batch, is_last: bool = True) -> Tensor:
        """Add the gradient of a batch to what waits for a step; nothing waits for the device.

        Args:
            batch: of `landmarks.data.batches.cropped_faces.Batch`, or anything with its images and
                points.
            is_last: an update follows, as far as is known.

        Returns:
            The loss, a float32 scalar on the device, until the next batch's takes its place; of the
            whole batch, where several processes have parts of it.
        """
        self.advance()
        loss = self.steps.add_gradient(batch.images, batch.points, self.step, is_last)
        self.batch += 1
        self.step += 1
        self.waiting += 1
        self.loss_sum += loss
        return loss

    def update(self) -> None:
        """Take an optimiser step by the mean of the gradients that wait; the average follows."""
        self.steps.update(self.waiting)
        self.waiting = 0
        if self.ema is not None:
            self.ema.update()

    def end_epoch(self, row: dict) -> bool:
        """Take note of an epoch's row of the history; return whether it is the best so far."""
        error = row["val_mse"]
        self.schedule.observe(error)
        is_best = error < self.best
        self.best = min(self.best, error)
        self.history.append(row)
        self.epoch, self.batch = self.epoch + 1, 0
        self.loss_sum.zero_()
        return is_best

    def change_batch_size(self, before: int, size: int, steps_per_epoch: int) -> None:
        """Count what was done in batches of `before` faces in those of `size`, so many an epoch."""
        share = before / size
        self.batch = min(round(self.batch * share), steps_per_epoch)
        self.step = self.epoch * steps_per_epoch + self.batch
        self.total_steps = round(self.total_steps * share)
        self.planned_at = min(round(self.planned_at * share), self.step)
        self.loss_sum *= share

    def state_dict(self) -> dict:
        """Return everything as tensors and plain data."""
        state = {name: getattr(self, name) for name in PLAIN}
        state |= {
            "model": self.model.state_dict(),
            "optimizer": self._optimizer_state(),
            "scaler": self.precision.scaler.state_dict(),
            "loss_sum": self.loss_sum.cpu(),
            "random": random_state(),
            "schedule": self.schedule.state_dict(),
        }
        if self.ema is not None:
            state["ema"] = {"weights": self.ema.model.state_dict(), "steps": self.ema.steps}
        return state

    def _optimizer_state(self) -> dict:
        """Return the optimiser's state, its rates as numbers, whoever holds them on the device."""
        state = self.optimizer.state_dict()
        groups = zip(state["param_groups"], self.rates, strict=True)
        return {**state, "param_groups": [{**group, "lr": rate} for group, rate in groups]}

    def load_state_dict(self, state: dict) -> None:
        """Go on from `state_dict`; the optimiser's settings are those it was built with.

        Raises:
            KeyError, RuntimeError, ValueError: if the state is of another model or optimiser.
        """
        self.model.load_state_dict(state["model"])
        if self.ema is not None and "ema" in state:
            self.ema.model.load_state_dict(state["ema"]["weights"])
            self.ema.steps = state["ema"]["steps"]
        elif self.ema is not None:
            self.ema.model.load_state_dict(state["model"])
        own = [
            {key: value for key, value in group.items() if key not in ("params", "lr")}
            for group in self.optimizer.param_groups
        ]
        self.optimizer.load_state_dict(state["optimizer"])
        for group, wanted in zip(self.optimizer.param_groups, own, strict=True):
            group.update(wanted)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        if state["scaler"]:
            self.precision.scaler.load_state_dict(state["scaler"])
        self.schedule.load_state_dict(state["schedule"])
        for name in PLAIN:
            setattr(self, name, state[name])
        self.loss_sum = move(state["loss_sum"], self.precision.device)
        restore_random_state(state["random"])
