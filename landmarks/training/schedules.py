"""Learning-rate schedules: the factor on every group's own rate, from the share of training done.

They depend on the share of training that is done (0 to 1), not on a fixed number of steps. So a
training whose length follows `max_time` has the same shape as one of so many epochs.
"""

import math
from dataclasses import dataclass
from typing import Annotated

from landmarks.settings import ABOVE_ZERO, Count, Needs, PositiveInt, Share


class Schedule:
    """The factor on the learning rates while a model trains; hooks that it does not need are empty.

    Its settings are the arguments that it is built with.
    """

    def __call__(self, progress: float) -> float:
        """Return the factor, above or at 0, where the share `progress` of training is done."""
        raise NotImplementedError

    def observe(self, error: float) -> None:
        """Take note of an epoch's validation error, square pixels."""

    def state_dict(self) -> dict:
        """Return what has been seen, as plain JSON data."""
        return {}

    def load_state_dict(self, state: dict) -> None:
        """Go on from `state_dict`; an empty one, of another schedule, says nothing."""


class Constant(Schedule):
    """The learning rate as it is."""

    def __call__(self, progress: float) -> float:
        return 1.0


@dataclass(frozen=True, kw_only=True)
class Cosine(Schedule):
    """Rise linearly during the share `warmup` of training, then half a cosine down to `final`.

    Until the share `hold` of training the rate stays as it is before it falls.

    Source: Loshchilov and Hutter, SGDR, ICLR 2017; Hägele et al., Scaling Laws and Compute-Optimal
    Training Beyond Fixed Training Durations, NeurIPS 2024, of the hold.
    """

    warmup: Share = 0.03
    hold: Share = 0.0
    final: Share = 0.0

    def __call__(self, progress: float) -> float:
        if progress < self.warmup:
            return max(progress, 1e-3 * self.warmup) / self.warmup
        held = max(self.warmup, self.hold)
        turned = max(0.0, progress - held) / (1 - held)
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * min(turned, 1.0))) / 2


@dataclass(frozen=True, kw_only=True)
class OneCycle(Schedule):
    """Half a cosine up from `start` until the share `peak` of training, half one down to `final`.

    The learning rate's cycle alone; momentum stays.

    Source: Smith and Topin, Super-Convergence, 2018 (arXiv 1708.07120).
    """

    peak: Share = 0.3
    start: Annotated[Share, Needs("peak", ABOVE_ZERO)] = 0.04
    final: Share = 0.0001

    def __call__(self, progress: float) -> float:
        if progress < self.peak:
            risen = (1 - math.cos(math.pi * progress / self.peak)) / 2
            return self.start + (1 - self.start) * risen
        turned = min((progress - self.peak) / (1 - self.peak), 1.0)
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * turned)) / 2


class Plateau(Schedule):
    """Multiply the rate by `factor` when the validation error has not fallen for `patience` epochs.

    Args:
        factor: what the rate is multiplied by, above 0.
        patience: how many epochs without a better one are waited for.
        drops: how many times the rate falls at most.
    """

    def __init__(self, *, factor: Share = 0.3, patience: Count = 3, drops: PositiveInt = 4):
        self.factor, self.patience, self.drops = factor, patience, drops
        self.best, self.waited, self.dropped = math.inf, 0, 0

    def __call__(self, progress: float) -> float:
        return self.factor**self.dropped

    def observe(self, error: float) -> None:
        """Take note of an epoch's validation error."""
        self.waited += 1
        if error < self.best:
            self.best, self.waited = error, 0
        elif self.waited > self.patience and self.dropped < self.drops:
            self.dropped, self.waited = self.dropped + 1, 0

    def state_dict(self) -> dict:
        """Return what has been seen, as plain JSON data."""
        return {"best": self.best, "waited": self.waited, "dropped": self.dropped}

    def load_state_dict(self, state: dict) -> None:
        """Go on from `state_dict`."""
        if state:
            vars(self).update({name: state[name] for name in self.state_dict()})
