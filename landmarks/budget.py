"""How long training takes, and how many steps fit into `max_time`."""

import time

import torch

from landmarks.devices import synchronize
from landmarks.errors import UserError

PLANNED = 0.96  # of what is left of max_time is planned to be used: machines slow down
ENDING = 5.0  # seconds for the last checkpoint and pictures
WARM_UP = 3  # first steps of a session, which also allocate and tune, are not measured
MEASURED = 2.0  # seconds of steps that are measured before the first estimate


class Budget:
    """Steps to train for: all epochs, or what `max_time` has room for.

    Args:
        epochs: at most so many; None: as many as fit.
        max_time: seconds from `started` in which everything must be done; None: no limit.
        steps_per_epoch: batches.
        validation_share: an epoch's validation, guessed as a share of its training, until seen.
        started: time.monotonic() when the command started.

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
    ):
        if epochs is None and max_time is None:
            raise UserError("epochs=null needs max_time, which then decides: max_time=2h.")
        self.most = None if epochs is None else epochs * steps_per_epoch
        self.max_time, self.steps_per_epoch, self.started = max_time, steps_per_epoch, started
        self.validation_share = validation_share
        self.per_step = self.per_validation = 0.0

    @property
    def first_guess(self) -> int:
        """Steps to plan with before anything is measured: without `epochs`, very many."""
        return 1000 * self.steps_per_epoch if self.most is None else self.most

    def measure(self, per_step: float, per_validation: float | None = None) -> None:
        """Take note of seconds a step and, once seen, seconds a validation."""
        self.per_step = per_step
        if per_validation is None:
            per_validation = self.validation_share * per_step * self.steps_per_epoch
        self.per_validation = per_validation

    def plan(self, step: int, batch: int) -> int:
        """Return the step at which training should end, `step` steps (`batch` of an epoch) in."""
        if self.max_time is None:
            return self.most
        spent = time.monotonic() - self.started
        left = PLANNED * (self.max_time - spent - self.ending)
        per_epoch = self.per_step * self.steps_per_epoch + self.per_validation
        left += batch * self.per_step  # of the epoch under way; counted back in below
        whole = max(0, int(left / per_epoch))
        rest = int(max(0.0, left - whole * per_epoch - self.per_validation) / self.per_step)
        steps = step - batch + whole * self.steps_per_epoch + rest
        steps = max(steps, step)
        return steps if self.most is None else min(steps, self.most)

    @property
    def ending(self) -> float:
        """Seconds kept for what follows the last validation."""
        return min(ENDING, 0.1 * self.max_time) if self.max_time else 0.0

    def is_over(self) -> bool:
        """Say whether training must end now for the validation to fit in `max_time`."""
        if self.max_time is None:
            return False
        spent = time.monotonic() - self.started
        return spent > self.max_time - 1.1 * self.per_validation - self.ending

    def seconds_for(self, steps: int) -> float:
        """Return how long `steps` more steps will take, validations included."""
        return steps * self.per_step + -(-steps // self.steps_per_epoch) * self.per_validation


class StepClock:
    """Measures seconds a step over a session's first steps, once.

    Args:
        device: waited for where the measurement begins and ends, and at no other step.
        needed: False: nothing is measured.
    """

    def __init__(self, device: torch.device, needed: bool):
        self.device, self.needed = device, needed
        self.steps, self.started = 0, 0.0

    def tick(self) -> float | None:
        """Note a step's end; return seconds a step when they are known, once."""
        if not self.needed:
            return None
        self.steps += 1
        if self.steps == WARM_UP:
            synchronize(self.device)
            self.started = time.perf_counter()
        spent = time.perf_counter() - self.started
        if self.steps < WARM_UP + 2 or spent < MEASURED:
            return None
        synchronize(self.device)
        self.needed = False
        return (time.perf_counter() - self.started) / (self.steps - WARM_UP)


def memory_in_use(device: torch.device) -> str:
    """Return the most memory used so far, in words; of MPS, which keeps no record, what is now."""
    if device.type == "cuda":
        return f"{torch.cuda.max_memory_reserved(device) / 2**30:.1f} GiB of GPU memory"
    if device.type == "mps":
        return f"{torch.mps.driver_allocated_memory() / 2**30:.1f} GiB of GPU memory"
    try:
        import resource
    except ImportError:  # not on Windows
        return "unknown memory"
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB of memory"


def say_duration(seconds: float) -> str:
    """Return seconds in words: 42 s, 3 min 20 s, 2 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 90:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
