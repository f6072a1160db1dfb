"""Which of several processes this is, and what is its part.

A launcher (torchrun, or `landmarks train gpus=2`) starts them with RANK, WORLD_SIZE and the address
of a store in their environment. The command line asks before torch is needed.
"""

import os

NAMED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


def world() -> int:
    """Return the number of processes."""
    return int(os.environ["WORLD_SIZE"]) if _is_launched() else 1


def rank() -> int:
    """Return the number of this process, from 0."""
    return int(os.environ["RANK"]) if world() > 1 else 0


def local_rank() -> int:
    """Return the number of this process on its machine, which is the number of its GPU."""
    return int(os.environ["LOCAL_RANK"]) if world() > 1 else 0


def local_world() -> int:
    """Return the number of processes on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", world())) if world() > 1 else 1


def is_main() -> bool:
    """Say whether this is the process that writes files and speaks."""
    return rank() == 0


def quiet_torch() -> None:
    """Let torch's own lines of an exchange that fails stay out of the screen: we say what ended.

    It reads this when it is loaded, so this comes before.
    """
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")


def forget_others() -> None:
    """Let this process be the only one: for what one process does, however many were started."""
    for name in NAMED:
        os.environ.pop(name, None)


def part_of(rows):
    """Return this rank's part of the rows of a batch: a sequence or an array, cut evenly."""
    first, end = (len(rows) * (rank() + i) // world() for i in (0, 1))
    return rows[first:end]


def draw_apart(seed: int) -> None:
    """Let torch draw other random numbers on each rank but the first, which draws as if alone."""
    if not is_main():
        import torch

        torch.manual_seed(seed + 1_000_003 * rank())


def _is_launched() -> bool:
    return all(os.environ.get(name) for name in NAMED)
