"""Time `landmarks --help` in fresh processes."""

import argparse
import subprocess
import sys
from pathlib import Path
from statistics import median

from benchmarks.turns import add_rounds, say_seconds, take_turns

ASK_TORCH = """
import sys
from landmarks.cli.main import main
main(["--help"])
print("torch" in sys.modules)
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    add_rounds(parser, 9, "processes")


def measure(options: argparse.Namespace) -> dict:
    """Return {"help_s", "torch_imported"}."""
    command = find_command()
    run([*command, "--help"])  # the first start also reads the files from the disk
    seconds = take_turns(
        {
            "help": lambda: run([*command, "--help"]),
            "python": lambda: run([sys.executable, "-c", ""]),
        },
        options.rounds,
    )
    say_seconds(f"{' '.join(command)} --help", seconds["help"])
    say_seconds("Python alone, for comparison", seconds["python"])
    last_word = run([sys.executable, "-c", ASK_TORCH]).split()[-1]
    return {"help_s": round(median(seconds["help"]), 4), "torch_imported": last_word == "True"}


def find_command() -> list[str]:
    """Return the installed `landmarks` script beside this Python, or the module."""
    for name in ("landmarks", "landmarks.exe"):
        script = Path(sys.executable).with_name(name)
        if script.is_file():
            return [str(script)]
    return [sys.executable, "-m", "landmarks"]


def run(command: list[str]) -> str:
    """Run a command to its end and return what it printed."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
