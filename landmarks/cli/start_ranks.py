"""One process or several for a command line: `gpus=N` starts them."""

import sys
from collections.abc import Callable

from hydra.errors import HydraException

from landmarks.cli.command_line import is_sweep, read_value
from landmarks.cli.leader_rank import Ended, Leader, follow, run_parted
from landmarks.cli.run_with_hydra import launch
from landmarks.distributed import processes, rank_messages
from landmarks.distributed.launch_ranks import count_ranks
from landmarks.errors import UserError

GPUS = "gpus="


def wanted_ranks(arguments: list[str]) -> int:
    """Return how many processes the words of a command line ask for; 1: this one alone.

    Raises:
        UserError: if there are not so many GPUs, or cores.
    """
    try:
        gpus, device = (read_value(arguments, key) for key in ("gpus", "device"))
    except HydraException:
        return 1  # Hydra says what is wrong
    if gpus != "auto" and not (type(gpus) is int and gpus > 0):
        return 1  # as does the check of settings
    if device is None:  # the run's own, where one goes on
        device = None if read_value(arguments, "resume") else "auto"
    return count_ranks(gpus, device)


def start_ranks(command: str, count: int, arguments: list[str], fail: Callable[..., int]) -> int:
    """Run a command by so many processes of this machine; return the exit code.

    Args:
        command: that several processes can do.
        count: of processes.
        arguments: behind it.
        fail: prints a sentence and returns the exit code that it is given.
    """
    words = [word for word in arguments if not word.startswith(GPUS)]
    module = ["-m", "landmarks", command]
    try:
        run_parted(count, sys.executable, *module, *words, f"{GPUS}{count}")
    except Ended as error:
        return error.code if error.code > 0 else fail(str(error), 1)
    return 0


def lead(command: str, arguments: list[str], fail: Callable[..., int]) -> int:
    """Run a command by one process or several, as the words ask for; return the exit code.

    Args:
        command: that several processes can do.
        arguments: behind it.
        fail: prints a sentence and returns the exit code that it is given, or 2.
    """
    if processes.world() > 1:
        processes.quiet_torch()
    if not processes.is_main():
        return follow([command, *arguments], fail)
    if processes.world() == 1:
        try:
            count = 1 if is_sweep(arguments) else wanted_ranks(arguments)
        except UserError as error:
            return fail(str(error), 1)
        if count == 1:  # of a sweep each job starts its own
            return launch(command, arguments, fail)
        return start_ranks(command, count, arguments, fail)

    gpus = [word for word in arguments if word.startswith(GPUS)][-1:]
    if gpus not in ([], [f"{GPUS}auto"], [f"{GPUS}{processes.world()}"]):
        started = processes.world()
        return fail(f"{gpus[0]}: {started} processes were started; leave gpus= out.", 1)

    def tell(sentence: str, code: int = 2) -> int:
        rank_messages.fail(sentence)
        return fail(sentence, code)

    try:
        leader = Leader([command, *arguments])
    except UserError as error:
        return fail(str(error), 1)
    try:
        return launch(command, arguments, tell, leader.tell_job)
    finally:
        leader.end()
