"""The processes of one job, or of a sweep's: the first one leads, the others do what it does."""

import hashlib
import json
import logging
import logging.config
import os
import sys
import traceback
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from signal import Signals

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from landmarks import __version__
from landmarks.cli.command_list import load_command
from landmarks.distributed import processes, rank_messages
from landmarks.distributed.launch_ranks import run_ranks
from landmarks.errors import UserError
from landmarks.interrupt import Interrupted, tidy_end
from landmarks.machine import count_cores
from landmarks.settings import settings_of


class Ended(UserError):
    """One of several processes has ended, by a signal or with an exit code of its own.

    Attributes:
        code: the exit code; below 0: the signal.
    """

    def __init__(self, number: int, count: int, code: int):
        how = f"was ended by {Signals(-code).name}" if code < 0 else f"ended with code {code}"
        super().__init__(f"Process {number} of {count} {how}.")
        self.code = code


def run_parted(count: int, entry: Callable | str, *arguments) -> dict:
    """Run so many processes that share this machine's cores, see `run_ranks`.

    Raises:
        Ended: if one of them fails.
        Interrupted: by a signal.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    is_free = "OMP_NUM_THREADS" not in os.environ
    if is_free:
        os.environ["OMP_NUM_THREADS"] = str(max(1, count_cores() // count))
    try:
        return run_ranks(count, entry, *arguments)
    except ChildFailedError as error:
        number, failure = error.get_first_failure()
        raise Ended(number, count, failure.exitcode) from None
    finally:
        if is_free:
            del os.environ["OMP_NUM_THREADS"]


class Leader:
    """What rank 0 tells the others: how it was started, the settings of each job, and the end."""

    def __init__(self, words: list[str]):
        self.jobs = 0
        rank_messages.meet()
        rank_messages.tell("start", describe_start(words))

    def tell_job(self, settings: dict) -> None:
        """Let the others do a job of these settings, plain JSON data."""
        self.jobs += 1
        rank_messages.tell(f"job/{self.jobs}", settings)

    def end(self) -> None:
        """Let the others end."""
        rank_messages.tell(f"job/{self.jobs + 1}", None)


def follow(words: list[str], fail: Callable[..., int]) -> int:
    """Do what rank 0 does, as another rank; return the exit code.

    Args:
        words: that this process was started with, the command first; they must be rank 0's.
        fail: prints a sentence and returns the exit code that it is given.
    """
    prefix = f"rank {processes.rank()}: "
    logging.basicConfig(level=logging.ERROR, format=f"{prefix}%(message)s")
    for name in (
        "data.batches.loader",
        "outputs.pictures",
    ):  # of images of its own part, and why it fails
        logging.getLogger(f"landmarks.{name}").setLevel(logging.WARNING)
    code = 0
    try:
        rank_messages.meet()
        _refuse_others(describe_start(words))
        function = load_command(words[0])
        kind = settings_of(function)
        for job in range(1, sys.maxsize):
            # After a stop, too: launchers end the others when one ends, and rank 0 may be saving.
            settings = rank_messages.hear(f"job/{job}", "rank 0", rank_messages.BUILD_SECONDS)
            if settings is None:
                break
            code = function(kind(**settings))
    except rank_messages.Lost:
        return code or 1  # rank 0 says so
    except UserError as error:
        return 1 if rank_messages.fail(str(error)) else fail(f"{prefix}{error}", error.code)
    except Exception as error:
        rank_messages.fail(f"{type(error).__name__}: {error}")
        print(f"landmarks: {prefix}this is an error of the program:", file=sys.stderr)
        raise
    return code


def _refuse_others(own: dict) -> None:
    """Refuse to work with a process that was started otherwise."""
    leading = rank_messages.hear("start", "rank 0")
    for what in ("version", "words"):
        if leading[what] != own[what]:
            raise UserError(
                f"this process was started with other {what} than rank 0 "
                f"({_difference(own[what], leading[what])}): start all alike."
            )


def _difference(own, leading) -> str:
    if not isinstance(own, list):
        return f"{own}, not {leading}"
    more = [
        " ".join(sorted(set(a) - set(b))) or "none" for a, b in ((own, leading), (leading, own))
    ]
    return f"{more[0]}, not {more[1]}"


def describe_start(words: list[str]) -> dict:
    """Return how a process was started: its words, and the version of this program, by content."""
    content = hashlib.sha256()
    package = Path(str(files("landmarks")))
    for path in sorted(package.rglob("*.py")):
        content.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    version = f"{__version__} {content.hexdigest()[:12]}"
    return json.loads(json.dumps({"words": words, "version": version}))


def run_job(command: str, settings: dict, count: int) -> int:
    """Do a job by so many processes of this machine; return the exit code.

    Args:
        command: that several processes can do.
        settings: of the job, checked, plain data.
        count: of processes.

    Raises:
        UserError: what went wrong in them.
    """
    lines = OmegaConf.to_container(HydraConfig.get().job_logging, resolve=True)
    try:
        code, sentence = run_parted(count, do_rank, command, settings, lines)[0]
    except Interrupted as stop:
        return stop.exit_code
    if sentence:
        raise UserError(sentence)
    return code


def do_rank(command: str, settings: dict, lines: dict) -> tuple[int, str]:
    """Be one of a job's processes; return the exit code, and what went wrong or "".

    Args:
        command, settings: of `run_job`.
        lines: how the first one logs, for `logging.config`.
    """

    def say(sentence: str, code: int = 2) -> int:
        print(f"landmarks: {sentence}", file=sys.stderr)
        return code

    try:
        with tidy_end():
            if processes.is_main():
                logging.config.dictConfig(lines)
                return _lead(command, settings)
            return follow([command], say), ""
    except KeyboardInterrupt as stop:
        return getattr(stop, "exit_code", 130), ""


def _lead(command: str, settings: dict) -> tuple[int, str]:
    try:
        leader = Leader([command])
        leader.tell_job(settings)
        function = load_command(command)
        code = function(settings_of(function)(**settings))
        leader.end()
        return code, ""
    except UserError as error:
        sentence = str(error)
    except Exception as error:
        traceback.print_exc()
        sentence = f"{type(error).__name__}: {error}"
    rank_messages.fail(sentence)
    return 1, sentence
