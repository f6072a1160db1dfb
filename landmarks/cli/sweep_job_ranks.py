"""A sweep's job by several processes: it starts them, and hands on what the first one says."""

import logging.config
import sys
import traceback

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from landmarks.cli.command_list import load_command
from landmarks.cli.lead_and_follow import Leader, follow, run_parted
from landmarks.distributed import processes, store
from landmarks.errors import UserError
from landmarks.interrupt import Interrupted, tidy_end
from landmarks.settings import settings_of


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
    store.fail(sentence)
    return 1, sentence
