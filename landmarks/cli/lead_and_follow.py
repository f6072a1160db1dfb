"""The processes of one job: the first one leads, and the others do what it does."""

import hashlib
import json
import logging
import os
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from signal import Signals

from landmarks import __version__
from landmarks.cli.command_list import load_command
from landmarks.distributed import processes, store
from landmarks.distributed.local_launch import run_ranks
from landmarks.errors import UserError
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
        store.meet()
        store.tell("start", describe_start(words))

    def tell_job(self, settings: dict) -> None:
        """Let the others do a job of these settings, plain JSON data."""
        self.jobs += 1
        store.tell(f"job/{self.jobs}", settings)

    def end(self) -> None:
        """Let the others end."""
        store.tell(f"job/{self.jobs + 1}", None)


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
        store.meet()
        _refuse_others(describe_start(words))
        function = load_command(words[0])
        kind = settings_of(function)
        for job in range(1, sys.maxsize):
            # After a stop, too: launchers end the others when one ends, and rank 0 may be saving.
            settings = store.hear(f"job/{job}", "rank 0", store.BUILD_SECONDS)
            if settings is None:
                break
            code = function(kind(**settings))
    except store.Lost:
        return code or 1  # rank 0 says so
    except UserError as error:
        return 1 if store.fail(str(error)) else fail(f"{prefix}{error}", error.code)
    except Exception as error:
        store.fail(f"{type(error).__name__}: {error}")
        print(f"landmarks: {prefix}this is an error of the program:", file=sys.stderr)
        raise
    return code


def _refuse_others(own: dict) -> None:
    """Refuse to work with a process that was started otherwise."""
    leading = store.hear("start", "rank 0")
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
