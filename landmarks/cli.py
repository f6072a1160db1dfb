"""The `landmarks` command: the first word picks a command, the rest of the line is Hydra's.

Exit codes: 0 done, 1 the work could not be done (one sentence says why), 2 the command line is
wrong, 3 `check` found errors in the data, 130 stopped by Ctrl-C, 143 stopped by SIGTERM.
"""

import gc
import importlib
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from landmarks import __version__
from landmarks.errors import UserError, did_you_mean

COMMANDS = {
    "train": "train a model and keep its best checkpoint",
    "predict": "find the points of faces; write a Kaggle submission",
    "check": "find faulty images and labels before hours are spent",
}

USAGE = """landmarks {version}: train, judge and run dense facial landmark models.

Usage: landmarks COMMAND [setting=value ...]

{commands}

  landmarks train data.root=path/to/contest model=resnet34
  landmarks predict data.root=path/to/contest
  landmarks check data.root=path/to/contest
  landmarks train experiment=quickstart        embedded faces: no data needed

  landmarks COMMAND --help                     every setting of a command, with examples
  landmarks COMMAND --cfg job --resolve        the config it would run with
  eval "$(landmarks -sc install=bash)"         shell completion (bash, zsh, fish)
  landmarks --version"""


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (default: the process's own) and return its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
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


def _load(command: str) -> Callable[..., int]:
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

    from landmarks.overrides import (
        check_config,
        explain,
        flags_first,
        refuse_flag,
        refuse_idle,
    )
    from landmarks.resume import refuse_taken, resume_run
    from landmarks.runs import KeptSettings, remove_if_empty

    def suffix(name: str | None) -> str:
        # A name ends a folder's name; it must not become a path.
        return "-" + re.sub(r"[^\w.-]+", "_", str(name)) if name else ""

    OmegaConf.register_new_resolver("suffix", suffix, replace=True)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra lets errors through to the handlers below
    outcome: list = []
    started: list = []
    old_settings = KeptSettings(None)

    def task(config: DictConfig) -> None:
        run_dir = HydraConfig.get().runtime.output_dir
        started.append(run_dir)
        code = 2
        try:
            function = _load(command)
            settings = check_config(function, config)
            refuse_idle(config, list(HydraConfig.get().overrides.task))
            code = 1
            outcome.append(function(**{**settings, "run_dir": run_dir}))
        except UserError as error:
            remove_if_empty(Path(run_dir))
            old_settings.restore()
            # A sweep's launcher must see the failure; a single run ends with the sentence alone.
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise
            outcome.append(_fail(str(error), code))

    wrong = 2
    try:
        refuse_flag(command, arguments)
        wrong = 1
        if command == "train":
            arguments, resumed = resume_run(arguments)
            old_settings = KeptSettings(resumed)
            if resumed is None:
                refuse_taken(arguments)
        sys.argv = [sys.argv[0], *flags_first(arguments)]
        hydra.main(version_base="1.3", config_path="pkg://landmarks.configs", config_name=command)(
            task
        )()
    except UserError as error:
        return _fail(str(error), wrong)
    except (HydraException, OmegaConfBaseException) as error:
        return _fail(explain(error, command, arguments))
    except YAMLError as error:
        return _fail(f"A file of settings cannot be read: {' '.join(str(error).split())}.")
    except OSError as error:
        if started:
            raise
        return _fail(f"The run's folder cannot be made ({error}): set run_dir=FOLDER.", 1)
    except KeyboardInterrupt:
        return _fail("Stopped.", 130)
    except SystemExit as leaving:  # Hydra's own --help, or its parser's complaint
        return int(leaving.code or 0)
    return max(outcome, default=0)
