"""The device's work of a training step: launched piece by piece, or recorded and replayed."""

import logging
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from landmarks.augment.augmentation import Augment
from landmarks.devices import move, refill, send
from landmarks.distributed import collectives, processes
from landmarks.training.cuda_graphs import has_room, new_pool, record
from landmarks.training.data_parallel import Replicas
from landmarks.training.precision import Precision

log = logging.getLogger(__name__)
WARM_UP = 3  # steps before one is recorded: they tune, compile, and make the optimiser's state


class Steps:
    """A step, launched piece by piece.

    Args:
        forward: images (B, 3, S, S) and points (B, K, 2) -> loss.
        optimizer: over the model's parameters.
        precision: autocast and loss scaling.
        augment: of a batch on the device; None: there is none.
        accumulate: batches whose mean gradient makes an update.
        clip: largest norm of the gradient; None: any.
    """

    warm_up = WARM_UP  # batches, until all take alike

    def __init__(
        self,
        forward: Callable[[Tensor, Tensor], Tensor],
        optimizer: torch.optim.Optimizer,
        precision: Precision,
        augment: Augment | None = None,
        accumulate: int = 1,
        clip: float | None = None,
    ):
        self.forward, self.optimizer, self.precision = forward, optimizer, precision
        self.augment, self.accumulate, self.clip = augment, accumulate, clip
        self.is_averaged = True  # over the ranks, of the gradients that wait

    def set_rates(self, rates: list[float]) -> None:
        """Set the learning rate of each group of parameters for the next update."""
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate

    def add_gradient(
        self, images: Tensor, points: Tensor, step: int, is_last: bool = True
    ) -> Tensor:
        """Add the gradient of a batch; return its loss, a float32 scalar on the device.

        The loss may be overwritten by the next batch's.

        Args:
            images: (B, 3, C, C) uint8.
            points: (B, K, 2) float32, input pixels.
            step: number of the batch since the training's start, which augmentation depends on.
            is_last: an update follows, as far as is known: ranks then average their gradients.
        """
        device = self.precision.device
        images, points = move(images, device), move(points, device)
        if self.augment is not None:
            part = processes.rank(), processes.world()
            images, points = self.augment(images, points, step, part)
        if not isinstance(self.forward, Replicas):
            return self._differentiate(images, points)
        self.is_averaged = is_last
        with self.forward.alone(not is_last):
            return collectives.mean(self._differentiate(images, points))

    def update(self, waiting: int) -> None:
        """Update the weights by the mean gradient of the `waiting` batches since the last time."""
        if not self.is_averaged:  # the plan was changed after the last batch
            self.forward.average()
            self.is_averaged = True
        self.precision.step(self.optimizer, self.clip, self.accumulate / waiting)
        self.optimizer.zero_grad(set_to_none=True)

    def _differentiate(self, images: Tensor, points: Tensor) -> Tensor:
        with self.precision.autocast():
            loss = self.forward(images, points)
        share = loss / self.accumulate if self.accumulate > 1 else loss
        self.precision.scaler.scale(share).backward()
        return loss.detach()


class RecordedSteps(Steps):
    """A step that is recorded once for each shape of batches, and then replayed.

    A replay is two launches, of the gradient and of the update, in place of several hundred. All
    that changes from step to step is copied into tensors that stay where they are: images, points,
    the random numbers of augmentation, learning rates. What is random or skipped is the same as
    without recording.

    The first WARM_UP updates are launched piece by piece, as are the first ones after the backbone
    is frozen or thawed, and after the optimiser has taken over another one's state. If recording
    fails, so is the rest.

    Args:
        must: raise where recording fails, instead of a warning.
    """

    def __init__(self, *arguments, must: bool = False, **named):
        super().__init__(*arguments, **named)
        self.must, self.failed = must, False
        self.warm_up = (WARM_UP + 1) * self.accumulate
        device, groups = self.precision.device, self.optimizer.param_groups
        self.rates = [0.0] * len(groups)
        self.scalars = torch.zeros(len(groups) + 1, device=device)  # the rates, and a factor
        *self.held_rates, factor = self.scalars.unbind()
        self.factor = factor if self.accumulate > 1 else 1.0
        self.kind: tuple = ()  # of the batches that are recorded
        self.held_state = self.optimizer.state  # another one where it has been loaded
        self.updates = self.waiting = 0
        self.replay_gradient: Callable | None = None
        self.replay_update: Callable | None = None

    def set_rates(self, rates: list[float]) -> None:
        """Set the learning rate of each group of parameters for the next update."""
        self.rates = rates
        for group, held in zip(self.optimizer.param_groups, self.held_rates, strict=True):
            if group["lr"] is not held:
                group["lr"], group["capturable"] = held, True

    def add_gradient(
        self, images: Tensor, points: Tensor, step: int, is_last: bool = True
    ) -> Tensor:
        """Add the gradient of a batch; see `Steps`."""
        trained = sum(p.requires_grad for p in self._parameters())
        kind = (images.shape, points.shape, trained)
        if kind != self.kind or self.held_state is not self.optimizer.state:
            self._forget(kind)
        if self.updates >= WARM_UP and self.waiting == 0 and self.replay_gradient is None:
            self._try_to_record(images, points)
        self.waiting += 1
        if self.replay_gradient is None:
            return super().add_gradient(images, points, step, is_last)
        refill(self.images, images)
        refill(self.points, points)
        if self.augment is not None:
            numbers, _ = self.augment.draw(len(images), step, images.shape[-1])
            refill(self.numbers, send(numbers, self.precision.device))
        self.replay_gradient()
        return self.loss

    def update(self, waiting: int) -> None:
        """Update the weights; see `Steps`."""
        scalars = np.array([*self.rates, self.accumulate / waiting], np.float32)
        refill(self.scalars, send(scalars, self.precision.device))
        if self.replay_update is None:
            super().update(waiting)
        else:
            self.replay_update()
        self.updates, self.waiting = self.updates + 1, 0

    def _try_to_record(self, images: Tensor, points: Tensor) -> None:
        if self.failed:
            return
        # Twice: what a recording holds nothing else can use, and validation comes beside it.
        if not self.must and not has_room(self.precision.device, times=2):
            self.failed = True
            log.warning(
                "No CUDA graph: there is not the memory of two steps, so training is slower."
            )
            return
        try:
            self._record(images, points)
        except torch.OutOfMemoryError:
            raise  # nothing can be relied on after that
        except RuntimeError as error:
            if self.must:
                raise
            self._forget(self.kind)
            self.failed = True
            log.warning(
                f"The step cannot be recorded, so training is slower ({type(error).__name__}: "
                f"{' '.join(str(error).split())[:200]}). graph=true shows the whole error, "
                "graph=false leaves recording out."
            )

    def _record(self, images: Tensor, points: Tensor) -> None:
        device = self.precision.device
        self.images = torch.empty_like(images, device=device)  # keeps the order of memory
        self.points = torch.empty_like(points, device=device)
        if self.augment is not None:
            numbers, _ = self.augment.draw(len(images), 0, images.shape[-1])
            self.numbers = torch.zeros(numbers.shape, device=device)
            self.work = self.augment.most(len(images))
        pool = new_pool(device)
        for parameter in self._parameters():
            parameter.grad = None
            if self.accumulate > 1 and parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)
        self.replay_gradient = record(self._gradient_in_place, device, pool)
        self.replay_update = record(self._update_in_place, device, pool)

    def _gradient_in_place(self) -> None:
        images, points = self.images, self.points
        if self.augment is not None:
            images, points = self.augment.apply(images, points, self.numbers, self.work)
        if self.accumulate == 1:  # the backward pass then writes gradients instead of adding them
            for parameter in self._parameters():
                parameter.grad = None
        self.loss = self._differentiate(images, points)

    def _update_in_place(self) -> None:
        self.precision.step(self.optimizer, self.clip, self.factor)
        if self.accumulate > 1:
            torch._foreach_zero_([p.grad for p in self._parameters() if p.grad is not None])

    def _forget(self, kind: tuple) -> None:
        self.kind, self.held_state, self.updates = kind, self.optimizer.state, 0
        self.replay_gradient = self.replay_update = None
        if self.waiting == 0:  # else a group of batches goes on piece by piece
            self.optimizer.zero_grad(set_to_none=True)

    def _parameters(self) -> Iterator[Tensor]:
        for group in self.optimizer.param_groups:
            yield from group["params"]
