"""How long training takes, how many steps fit into `max_time`, and when to give up."""

import math
import sys
import time
from collections.abc import Callable

import torch

from landmarks.devices import synchronize
from landmarks.distributed import collectives
from landmarks.errors import UserError
from landmarks.machine import say_bytes

PLANNED_SHARE = 0.96  # of the time left that is planned with, as machines slow down
ENDING_SECONDS = 5.0  # for the last checkpoint and pictures
MEASURED_SECONDS = 2.0  # of steps that are measured before the first estimate


class Budget:
    """Steps to train for: all epochs, or as many as fit into `max_time`.

    Of several processes, all plan by the clock of rank 0.

    Args:
        epochs: at most so many; None: as many as fit.
        max_time: seconds from `started` in which everything must be done; None: no limit.
        steps_per_epoch: batches.
        validation_share: an epoch's validation, guessed as a share of its training, until seen.
        started: time.monotonic() when the command started, less the seconds that earlier sessions
            of the run have spent.
        frozen_epochs: the first ones, in which a step costs less, as the backbone is frozen.
        thaw: how many times as much a step costs after them, guessed, until seen.
        patience: epochs without a lower error after which training ends; None: it goes on.
        is_poor: called with each epoch's row; says whether training ends, as others are better.

    Raises:
        UserError: if neither epochs nor max_time is set.
    """

    def __init__(
        self,
        epochs: int | None,
        max_time: float | None,
        steps_per_epoch: int,
        validation_share: float,
        started: float,
        *,
        frozen_epochs: int = 0,
        thaw: float = 1.0,
        patience: int | None = None,
        is_poor: Callable[[dict], bool] = lambda row: False,
    ):
        if epochs is None and max_time is None:
            raise UserError("epochs=null needs max_time, which then decides: max_time=2h.")
        self.most = None if epochs is None else epochs * steps_per_epoch
        self.max_time, self.steps_per_epoch, self.started = max_time, steps_per_epoch, started
        self.validation_share, self.per_validation = validation_share, 0.0
        self.frozen_steps, self.thaw = frozen_epochs * steps_per_epoch, thaw
        self.patience, self.is_poor = patience, is_poor
        self._seen: dict[bool, float] = {}  # whether the backbone was frozen -> seconds a step

    @property
    def spent(self) -> float:
        """Seconds since the run was started, all its sessions together."""
        return time.monotonic() - self.started

    @property
    def ending(self) -> float:
        """Seconds kept for what follows the last validation."""
        return min(ENDING_SECONDS, 0.1 * self.max_time) if self.max_time else 0.0

    def guess(self, step: int) -> int:
        """Return the steps to plan with before any is measured in this session.

        As many as fit if they go on taking what the first `step` took; very many where there is
        nothing to go by.
        """
        if self.max_time is None:
            return self.most
        if step:
            planned = PLANNED_SHARE * (self.max_time - self.ending)
            steps = int(step * planned / max(self.spent, 1e-9))
        else:
            steps = 1000 * self.steps_per_epoch
        return collectives.agree(max(step, steps if self.most is None else min(steps, self.most)))

    def knows(self, step: int) -> bool:
        """Say whether steps like `step`, frozen or not, have been measured in this session."""
        return (step < self.frozen_steps) in self._seen

    def measure(self, per_step: float, per_validation: float | None = None, step: int = 0) -> None:
        """Take note of seconds a step, at steps like `step`, and, once seen, a validation."""
        self._seen[step < self.frozen_steps] = per_step
        if per_validation is None:
            # Later ones are like those seen; a first one is guessed from steps that are not frozen.
            guessed = self.validation_share * self._per_step(self.frozen_steps)
            per_validation = self.per_validation or guessed * self.steps_per_epoch
        self.per_validation = per_validation

    def plan(self, step: int, batch: int) -> int:
        """Return the step at which training should end, `step` steps (`batch` of an epoch) in."""
        if self.max_time is None:
            return self.most
        left = PLANNED_SHARE * (self.max_time - self.spent - self.ending)
        left += batch * self._per_step(step)  # of the epoch under way; counted back in below
        end = step - batch
        for most in (max(0, self.frozen_steps - end) // self.steps_per_epoch, math.inf):
            per_epoch = self._per_step(end) * self.steps_per_epoch + self.per_validation
            whole = min(max(0, int(left / per_epoch)), most)
            left, end = left - whole * per_epoch, end + whole * self.steps_per_epoch
            if whole < most:
                break
        end += int(max(0.0, left - self.per_validation) / self._per_step(end))
        return collectives.agree(max(step, end if self.most is None else min(end, self.most)))

    def has_time(self) -> bool:
        """Say whether any of the planned share of `max_time` is left."""
        if self.max_time is None:
            return True
        return collectives.agree(self.spent < PLANNED_SHARE * (self.max_time - self.ending))

    def is_over(self) -> bool:
        """Say whether training must end now for the validation to fit in `max_time`."""
        if self.max_time is None:
            return False
        return collectives.agree(
            self.spent > self.max_time - 1.1 * self.per_validation - self.ending
        )

    def is_hopeless(self, stale_epochs: int) -> bool:
        """Say whether training ends after so many epochs without a lower validation error."""
        return self.patience is not None and stale_epochs >= self.patience

    def seconds_for(self, steps: int, after: int = 0) -> float:
        """Return the seconds that so many steps after `after` will take, validations included."""
        frozen = min(steps, max(0, self.frozen_steps - after))
        trained = frozen * self._per_step(0) + (steps - frozen) * self._per_step(self.frozen_steps)
        return trained + -(-steps // self.steps_per_epoch) * self.per_validation

    def _per_step(self, step: int) -> float:
        """Return the seconds a step like `step` takes, as measured or guessed from the others."""
        frozen = step < self.frozen_steps
        if frozen in self._seen:
            return self._seen[frozen]
        other = self._seen[not frozen]
        return other / self.thaw if frozen else other * self.thaw


class StepClock:
    """Measures seconds a step over a session's first steps, once.

    Args:
        device: waited for where the measurement begins and ends, and at no other step.
        needed: False: nothing is measured.
        warm_up: first steps that are not measured: they also allocate, tune and record.
    """

    def __init__(self, device: torch.device, needed: bool, warm_up: int):
        self.device, self.needed, self.warm_up = device, needed, warm_up
        self.steps, self.started = 0, 0.0
        self.measures = needed

    def tick(self) -> float | None:
        """Note a step's end; return seconds a step when they are known, once."""
        self.steps += 1
        if not self.needed:
            return None
        if self.steps == self.warm_up:
            synchronize(self.device)
            self.started = time.perf_counter()
        spent = time.perf_counter() - self.started
        if self.steps < self.warm_up + 2 or not collectives.agree(spent >= MEASURED_SECONDS):
            return None
        synchronize(self.device)
        self.needed = False
        return self.per_step()

    def per_step(self) -> float | None:
        """Return the seconds a step since the warm-up, the device waited for; None: not known."""
        measured = self.steps - self.warm_up
        if not self.measures or measured < 2:
            return None
        return (time.perf_counter() - self.started) / measured


def memory_in_use(device: torch.device) -> str:
    """Return the most memory used so far, in words; of MPS, which keeps no record, what is now."""
    if device.type == "cuda":
        return f"{say_bytes(torch.cuda.max_memory_reserved(device))} of GPU memory"
    if device.type == "mps":
        return f"{say_bytes(torch.mps.driver_allocated_memory())} of GPU memory"
    try:
        import resource
    except ImportError:  # not on Windows
        return "unknown memory"
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # of KiB, on macOS of bytes
    return f"{say_bytes(most if sys.platform == 'darwin' else 1024 * most)} of memory"


def say_duration(seconds: float) -> str:
    """Return seconds in words: 42 s, 3 min 20 s, 2 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 90:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
