"""Learning-rate schedules: the factor on every group's own rate, from the share of training done.

They depend on the share of training that is done (0 to 1), not on a fixed number of steps, so that
a training whose length follows `max_time` has the same shape as one of so many epochs.
"""

import math
from typing import Annotated

from landmarks.settings import ABOVE_ZERO, Count, Needs, PositiveInt, Share


def constant(progress: float) -> float:
    """The learning rate as it is."""
    return 1.0


def cosine(
    progress: float, *, warmup: Share = 0.03, hold: Share = 0.0, final: Share = 0.0
) -> float:
    """Rise linearly during the share `warmup` of training, then half a cosine down to `final`.

    Until the share `hold` of training the rate stays as it is before it falls.

    Source: Loshchilov and Hutter, SGDR, ICLR 2017; Hägele et al., Scaling Laws and Compute-Optimal
    Training Beyond Fixed Training Durations, NeurIPS 2024, of the hold.
    """
    if progress < warmup:
        return max(progress, 1e-3 * warmup) / warmup
    held = max(warmup, hold)
    turned = max(0.0, progress - held) / (1 - held)
    return final + (1 - final) * (1 + math.cos(math.pi * min(turned, 1.0))) / 2


def one_cycle(
    progress: float,
    *,
    peak: Share = 0.3,
    start: Annotated[Share, Needs("peak", ABOVE_ZERO)] = 0.04,
    final: Share = 0.0001,
) -> float:
    """Half a cosine up from `start` until the share `peak` of training, half one down to `final`.

    The learning rate's cycle alone; momentum stays.

    Source: Smith and Topin, Super-Convergence, 2018 (arXiv 1708.07120).
    """
    if progress < peak:
        return start + (1 - start) * (1 - math.cos(math.pi * progress / peak)) / 2
    turned = min((progress - peak) / (1 - peak), 1.0)
    return final + (1 - final) * (1 + math.cos(math.pi * turned)) / 2


class Plateau:
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
        vars(self).update({name: state[name] for name in self.state_dict()})
