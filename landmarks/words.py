"""The words of a command line: which of them set something, and to what."""

from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from landmarks.errors import UserError


def overrides_in(arguments: list[str]) -> list[str]:
    """Return the words of a command line that set something."""
    return [word for word in arguments if "=" in word and not word.startswith("-")]


def flags_first(arguments: list[str]) -> list[str]:
    """Return the arguments with overrides last: Hydra's parser takes them in one piece only."""
    if arguments[:1] == ["-sc"]:
        return arguments
    overrides = overrides_in(arguments)
    return [word for word in arguments if word not in overrides] + overrides


def parse(words: list[str]) -> list[Override]:
    """Return what each word of a command line sets, as Hydra reads it."""
    return OverridesParser.create().parse_overrides(words)


def read_value(words: list[str], key: str) -> object:
    """Return what the last of these words sets a setting to, None where none does."""
    given = [word for word in words if word.startswith(f"{key}=")]
    return parse(given[-1:])[0].value() if given else None


def named_place(words: list[str]) -> Path | None:
    """Return the folder that a command line names for its run, None where it names none.

    Where the name is to be filled in, it is the folder that the run will be somewhere in.
    """
    for key in ("run_dir", "hydra.run.dir", "hydra.sweep.dir"):
        named = read_value(words, key)
        if named is not None:
            return Path(str(named).partition("${")[0])
    return None


def place_sweep(arguments: list[str]) -> list[str]:
    """Return the arguments of a sweep with its run_dir= where Hydra looks for that.

    Raises:
        UserError: if the folder holds a sweep already, or a run is to be resumed.
    """
    if not {"-m", "--multirun", "hydra.mode=MULTIRUN"} & set(arguments):
        return arguments
    given = dict(word.split("=", 1) for word in overrides_in(arguments))
    if given.get("resume", "null") not in ("null", ""):
        raise UserError(
            f"resume={given['resume']} goes on with one run and -m starts several: leave one of "
            f"the two out."
        )
    if "run_dir" not in given:
        return arguments
    place = Path(given["run_dir"].strip("'\""))
    if any(place.glob("*/last.pt")):
        raise UserError(f"run_dir={place} holds runs: name another folder for this sweep.")
    return [*arguments, f"hydra.sweep.dir={given['run_dir']}"]
