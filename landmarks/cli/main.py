"""The `landmarks` command: the first word picks a command, the rest of the line is Hydra's.

Exit codes: 0 done, 1 the work could not be done (one sentence says why), 2 the command line is
wrong, 3 `check` found errors in the data, 130 stopped by Ctrl-C, 143 stopped by SIGTERM, 141 the
reader of its output has gone.
"""

import gc
import importlib
import logging
import os
import re
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from landmarks import __version__
from landmarks.errors import UserError, did_you_mean
from landmarks.files import explain_refusal
from landmarks.interrupt import tidy_end
from landmarks.settings import settings_of

COMMANDS = {
    "train": "train a model and keep its best checkpoint",
    "predict": "find the points of faces; write a Kaggle submission",
    "check": "find faulty images and labels before hours are spent",
    "cache": "list or clear what is kept to start sooner",
}

USAGE = """landmarks {version}: train, judge and run dense facial landmark models.

Usage: landmarks COMMAND [setting=value ...]

{commands}

  landmarks train data.root=path/to/contest model=resnet34
  landmarks predict data.root=path/to/contest
  landmarks check data.root=path/to/contest
  landmarks train experiment=quickstart        synthetic faces: no data needed

  landmarks COMMAND --help                     every setting of a command, with examples
  landmarks COMMAND --cfg job --resolve        the config it would run with
  eval "$(landmarks -sc install=bash)"         shell completion (bash, zsh, fish)
  landmarks --version"""


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (default: the process's own) and return its exit code."""
    streams = [stream for stream in (sys.stdout, sys.stderr) if hasattr(stream, "reconfigure")]
    for stream in streams:  # a terminal that knows ASCII alone is no reason to fail
        stream.reconfigure(errors="backslashreplace")
    logging.raiseExceptions = False  # nor is a screen or disk that takes no more lines
    try:
        with tidy_end():
            code = _answer(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt as stop:
        code = _fail("Stopped.", getattr(stop, "exit_code", 130))
    except BrokenPipeError:
        code = 141
    for stream in streams:
        try:
            stream.flush()
        except BrokenPipeError:  # and not a second time, with a complaint, at the interpreter's end
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return code


def _answer(arguments: list[str]) -> int:
    word, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    if word in ("-h", "--help", "help"):
        listed = "\n".join(f"  {name:<10} {purpose}" for name, purpose in COMMANDS.items())
        print(USAGE.format(version=__version__, commands=listed))
        return 0
    if word in ("-V", "--version"):
        print(__version__)
        return 0
    if word in ("-sc", "--shell-completion"):
        return _complete(arguments)
    if word not in COMMANDS:
        return _fail(
            f"There is no command '{word}'.{did_you_mean(word, COMMANDS)} "
            f"The commands are {', '.join(COMMANDS)}."
        )
    return _run(word, rest)


def _fail(sentence: str, code: int = 2) -> int:
    print(f"landmarks: {sentence}", file=sys.stderr)
    return code


def _complete(arguments: list[str]) -> int:
    """Answer the shell's request for completions: of our first word here, of the rest by Hydra."""
    command = "train"
    if arguments[1:2] and arguments[1].startswith("query="):
        line = os.environ.get("COMP_LINE", "")
        program, *words = line.split()
        if len(words) == 0 or (len(words) == 1 and not line.endswith(" ")):
            print(" ".join(name for name in COMMANDS if name.startswith("".join(words))))
            return 0
        if words[0] not in COMMANDS:
            return 0
        command = words[0]
        ending = " " if line.endswith(" ") else ""
        os.environ["COMP_LINE"] = " ".join([program, *words[1:]]) + ending
    return _run(command, arguments)


def load_command(command: str) -> Callable[..., int]:
    """Return a command's function, of the command's own module."""
    name = f"landmarks.commands.{command}"
    if name not in sys.modules:
        # torch brings a million objects that stay. To search them for garbage while they come, and
        # once more at the end, is a quarter of the time that a short command takes.
        gc.disable()
        try:
            importlib.import_module(name)
        finally:
            gc.freeze()
            gc.enable()
    return getattr(sys.modules[name], command)


def _run(command: str, arguments: list[str]) -> int:
    # Imported here: `landmarks --help` must not wait for Hydra.
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    from landmarks.cli.help import answer_help
    from landmarks.cli.jobs import Jobs, sweep_runs
    from landmarks.cli.overrides import check_settings, explain, refuse_flag
    from landmarks.cli.words import (
        flags_first,
        mend_words,
        named_place,
        overrides_in,
        place_sweep,
        refuse_place,
    )
    from landmarks.runs.find import Leftovers, refuse_taken
    from landmarks.runs.lock import hold

    def suffix(name: str | None) -> str:
        # A name ends a folder's name; it must not become a path.
        return "-" + re.sub(r"[^\w.-]+", "_", str(name)) if name else ""

    OmegaConf.register_new_resolver("suffix", suffix, replace=True)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra lets errors through to the handlers below
    jobs = Jobs()
    resumed, leftovers = None, Leftovers(None)
    started: list[Path] = []

    def task(config: DictConfig) -> None:
        hydra_config = HydraConfig.get()
        run = Path(hydra_config.runtime.output_dir)
        words = OmegaConf.to_container(hydra_config.overrides.task)  # a list would fill in ${...}
        started.append(run)
        sweep_runs(run)

        is_one_of_many = hydra_config.mode == RunMode.MULTIRUN
        given = words if not is_one_of_many else []  # a sweep's settings may be idle in one of it
        if resumed:
            given = [word for word in resumed.words if not word.startswith("name=")]

        def job() -> int:
            with hold(run) if command == "train" else nullcontext():
                try:
                    function = load_command(command)
                    kind = settings_of(function)
                    checked = check_settings(kind, config, given, command)
                    if resumed:
                        resumed.say()
                    return function(kind(**{**checked, "run_dir": str(run)}))
                except BaseException:
                    leftovers.remove(run)
                    raise

        jobs.run(job, f"{hydra_config.job.num} ({' '.join(words)})" if is_one_of_many else None)

    wrong = 2
    arguments = mend_words(arguments)
    try:
        if {"-h", "--help"} & set(arguments):
            print(answer_help(command, settings_of(load_command(command)), arguments))
            return 0
        refuse_flag(command, arguments)
        refuse_place(arguments)
        arguments = place_sweep(arguments)
        wrong = 1
        name, given = command, overrides_in(arguments)
        if command == "train" and any(word.startswith("resume=") for word in given):
            from landmarks.cli.resume import RESUMED, resume_run  # it needs torch

            resumed = resume_run(arguments)
            arguments = [word for word in arguments if not word.startswith("resume=")]
        place = named_place(given)
        leftovers = Leftovers(resumed.run if resumed else place)
        if resumed:
            name, arguments = RESUMED, resumed.arguments
        elif place is not None:
            refuse_taken(place, command)
        sys.argv = [sys.argv[0], *flags_first(arguments)]
        hydra.main(version_base="1.3", config_path="pkg://landmarks.configs", config_name=name)(
            task
        )()
    except UserError as error:
        if not jobs.failures:
            return _fail(str(error), wrong)
    except (HydraException, OmegaConfBaseException) as error:
        return _fail(explain(error, command, arguments))
    except YAMLError as error:
        return _fail(f"A file of settings cannot be read: {' '.join(str(error).split())}.")
    except OSError as error:
        if error.filename is not None and not started:
            return _fail(f"The run's folder cannot be made ({error}): set run_dir=FOLDER.", 1)
        sentence = explain_refusal(error)
        if sentence is None:
            raise
        return _fail(sentence, 1)
    except SystemExit as leaving:  # Hydra's own --help, or its parser's complaint
        return int(leaving.code or 0)
    finally:
        for failure in jobs.failures:
            _fail(failure)
    return jobs.code
