"""How long a step takes on several ranks, and on a machine that is not here: a stated model.

A step is computing, then exchanging gradients, with images read meanwhile or before. Nothing of the
exchange is taken to hide behind the backward pass, so that a real one is rather faster.
"""

import math
from dataclasses import dataclass

from landmarks.errors import UserError
from landmarks.settings import NonNegative, Positive, PositiveInt

GIB, GB, TERA = 2**30, 1e9, 1e12
MILLI, MICRO = 1e-3, 1e-6
FREE = 0.95  # share of a core from which on it is taken to be free of others
FORWARD = 1 / 3  # of a training step's arithmetic, which predicting a face takes


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What is known of the machines of a training; None: it is measured here.

    Args:
        rate: TFLOP/s of a step's products and convolutions.
        replay: milliseconds of a recorded step beside them.
        launch: microseconds that each tensor of weights adds to the launching of a step that is not
            recorded; the device computes meanwhile.
        memory: GiB for a rank.
        ranks: of one machine; None: all.
        cores: of one machine.
        bandwidth: GB/s of an all-reduce between the ranks of a machine, see `exchange_seconds`.
        network: GB/s of one between machines.
        latency: microseconds of a small message between two ranks.
        disk: GB/s that a machine reads.
        ram: GiB in which a machine keeps what it has read.
    """

    rate: Positive | None = None
    replay: NonNegative = 0.0
    launch: NonNegative = 0.0
    memory: Positive | None = None
    ranks: PositiveInt | None = None
    cores: PositiveInt | None = None
    bandwidth: Positive | None = None
    network: Positive | None = None
    latency: NonNegative | None = None
    disk: Positive = 0.5
    ram: Positive | None = None

    def count(self, ranks: int) -> int:
        """Return on how many machines so many ranks run.

        Raises:
            UserError: if these are several, and what lies between them is not known.
        """
        machines = 1 if self.ranks is None else math.ceil(ranks / self.ranks)
        if machines > 1 and self.network is None:
            raise UserError(
                f"{ranks} ranks need {machines} machines of machine.ranks={self.ranks}: say "
                f"machine.network=GB/s between them, or plan for fewer."
            )
        return machines

    def compute_seconds(self, flops: float, tensors: int, recorded: bool) -> float:
        """Return the seconds of a rank's own part of a step, where `rate` is known.

        Args:
            flops: of all faces of the part.
            tensors: of weights.
            recorded: as a CUDA graph.
        """
        work = MILLI * self.replay + flops / (TERA * self.rate)
        return work if recorded else max(work, MICRO * self.launch * tensors)

    def predict_seconds(self, flops: float, tensors: int, batches: int, recorded: bool) -> float:
        """Return the seconds of predicting faces, where `rate` is known.

        Args:
            flops: of training steps of these faces, looked at as often.
            batches: that they come in.
        """
        own = MICRO * self.launch * tensors if not recorded else MILLI * self.replay
        return max(FORWARD * flops / (TERA * self.rate), batches * FORWARD * own)


def exchange_seconds(machine: Machine, ranks: int, size: float, messages: int) -> float:
    """Return the seconds of averaging gradients over ranks.

    A ring sends 2 (n - 1) / n times the bytes between n ranks of a machine at its bandwidth, then
    as much between machines at that of the network. A small message takes its latency for each time
    that the ranks can be halved.

    Args:
        machine: whose bandwidth and latency are known.
        size: bytes of the gradients.
        messages: small ones, such as those of batch norms.
    """
    if ranks == 1:
        return 0.0
    machines = machine.count(ranks)
    inside = min(ranks, machine.ranks or ranks)
    seconds = _ring(inside, size, machine.bandwidth)
    if machines > 1:
        seconds += _ring(machines, size, machine.network)
    return seconds + messages * MICRO * machine.latency * math.log2(ranks)


def _ring(members: int, size: float, bandwidth: float) -> float:
    return 2 * (members - 1) / members * size / (GB * bandwidth)


def share_cores(threads: float, cores: float, busy: float = 0.0) -> float:
    """Return the share of the time in which each of so many threads has a core.

    Args:
        threads: of all ranks of a machine.
        cores: of the machine.
        busy: threads of other programs.
    """
    return min(1.0, cores / (threads + busy))


def count_busy(share: float, threads: float, cores: float) -> float:
    """Return how many threads of others take so much of the cores that a share is left to each."""
    return 0.0 if share > FREE else max(0.0, cores / share - threads)


@dataclass(frozen=True)
class StepParts:
    """Seconds of a rank's step, by what takes them.

    Args:
        compute: forward, backward, update.
        exchange: of gradients between ranks.
        images: decoding, cropping, gathering.
        disk: reading what memory does not hold.
        ahead: images are read while the step before is computed.
    """

    compute: float
    exchange: float
    images: float
    disk: float
    ahead: bool

    def total(self) -> float:
        """Return the seconds of a step."""
        step = self.compute + self.exchange
        return max(step, self.images, self.disk) if self.ahead else step + self.images + self.disk

    def bottleneck(self) -> str:
        """Return what a step waits for most, in words."""
        parts = {"compute": self.compute, "all-reduce": self.exchange}
        others = {"reading images": self.images, "disk": self.disk}
        if not self.ahead:
            parts |= others
        elif max(others.values()) > sum(parts.values()):
            parts = others
        return max(parts, key=parts.get)
