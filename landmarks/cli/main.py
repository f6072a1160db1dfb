"""The `landmarks` command: the first word picks a command, the rest of the line is Hydra's.

Exit codes: 0 done, 1 the work could not be done (one sentence says why), 2 the command line is
wrong, 3 `check` found errors in the data, 4 `evaluate`'s fail_if holds, 130 stopped by Ctrl-C, 143
stopped by SIGTERM, 141 the reader of its output has gone.
"""

import logging
import os
import sys

from landmarks import __version__
from landmarks.cli.command_list import COMMANDS, SHARED
from landmarks.distributed import processes
from landmarks.errors import did_you_mean
from landmarks.interrupt import tidy_end

# With them Hydra answers and does nothing else, so several processes are not needed.
OPTIONS_THAT_TELL = {"-h", "--help", "--hydra-help", "-c", "--cfg", "-i", "--info", "-sc"}

USAGE = """landmarks {version}: train, judge and run dense facial landmark models.

Usage: landmarks COMMAND [setting=value ...]

{commands}

  landmarks train data.root=path/to/contest model=resnet34
  landmarks predict data.root=path/to/contest
  landmarks evaluate                           the newest run, on its validation faces
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
        code = getattr(stop, "exit_code", 130)
        if processes.is_main():
            _fail("Stopped.", code)
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


def _run(command: str, arguments: list[str]) -> int:
    # Imported here: `landmarks --help` must not wait for Hydra.
    if command in SHARED and OPTIONS_THAT_TELL.isdisjoint(arguments):
        from landmarks.cli.start_ranks import lead

        return lead(command, arguments, _fail)
    if not processes.is_main():
        return 0
    if processes.world() > 1:
        processes.forget_others()  # the first one does it alone
    from landmarks.cli.run_with_hydra import launch

    return launch(command, arguments, _fail)
