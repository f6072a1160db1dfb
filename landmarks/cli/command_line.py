"""The words of a command line: which of them set something, to what, and what is meant by them."""

import re
from itertools import pairwise
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from landmarks.errors import UserError
from landmarks.runs.quoting import at_home, literal, write_word
from landmarks.settings import GROUPED

PATHLIKE = re.compile(r"[/\\<>]|[^ -~]|^~$")  # and fail_if's "mse>8", which Hydra cannot read
BESIDE = r"[\w./+-]"  # what makes a number part of another word
NAMES = re.compile(rf"(?<!{BESIDE}){GROUPED.pattern}(?!{BESIDE})")
# Texts, whatever they look like: Hydra would read 1.10 as 1.1, and 1e5 as 100000.0.
TEXTS = (
    "name",
    "run_dir",
    "init",
    "resume",
    "checkpoint",
    "input",
    "only",
    "predictions",
    "against",
    "table",
    "folder",
    "csv",
)
# Commands that take bare words, and the setting that lists these.
BARE = {"compare": "runs", "average": "runs", "ensemble": "predictions"}
NUMBERS = re.compile(rf"(?<!{BESIDE})(?<!:)[+-]?[\d.][\w.+-]*(?!{BESIDE})")


def overrides_in(arguments: list[str]) -> list[str]:
    """Return the words of a command line that set something."""
    return [word for word in arguments if "=" in word and not word.startswith("-")]


def gather_words(command: str, arguments: list[str]) -> list[str]:
    """Return the arguments of `landmarks compare RUN RUN` with its bare words as runs=[RUN,RUN]."""
    if command not in BARE or {"-h", "--help"} & set(arguments):
        return arguments
    folders = searched(arguments)
    bare = [
        word
        for word in arguments
        if "=" not in word and not word.startswith("-") and word not in folders
    ]
    if not bare:
        return arguments
    listed = ",".join(write_word("", str(at_home(word))).removeprefix("=") for word in bare)
    return [*(word for word in arguments if word not in bare), f"{BARE[command]}=[{listed}]"]


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


def say_replaced(arguments: list[str]) -> str:
    """Return a sentence on words whose setting a later word sets otherwise; "" where none are.

    Lists say nothing: their parts may have been gathered.
    """
    last, replaced = {}, []
    for word in overrides_in(arguments):
        key, _, value = word.partition("=")
        if value.startswith("["):
            continue
        if last.get(key, word) != word:
            replaced.append(f"{word} replaces {last[key]}")
        last[key] = word
    return f"On this line {', '.join(replaced)}." if replaced else ""


def searched(arguments: list[str]) -> tuple[str, ...]:
    """Return the folders that --config-dir names: of a user's own choices."""
    folders = []
    for word, following in pairwise([*arguments, ""]):
        flag, equals, folder = word.partition("=")
        if flag in ("--config-dir", "-cd"):
            folders.append(folder if equals else following)
    return tuple(folders)


def searchpath(folders: tuple[str, ...]) -> list[str]:
    """Return the words that make Hydra look for choices in these folders too."""
    named = ",".join(f"'file://{Path(folder).resolve()}'" for folder in folders)
    return [f"hydra.searchpath=[{named}]"] if folders else []


def named_place(words: list[str]) -> Path | None:
    """Return the folder that a command line names for its run, None where it names none.

    Where the name is to be filled in, it is the folder that the run will be somewhere in.
    """
    for key in ("run_dir", "hydra.run.dir", "hydra.sweep.dir"):
        named = read_value(words, key)
        if named is not None:
            return Path(str(named).partition("${")[0])
    return None


def is_sweep(arguments: list[str]) -> bool:
    """Say whether a command line starts several runs."""
    return bool({"-m", "--multirun", "hydra.mode=MULTIRUN"} & set(arguments))


def place_sweep(arguments: list[str]) -> list[str]:
    """Return the arguments of a sweep with its run_dir= where Hydra looks for that.

    Raises:
        UserError: if the folder holds a sweep already, or a run is to be resumed.
    """
    if not is_sweep(arguments):
        return arguments
    words = overrides_in(arguments)
    given = dict(word.split("=", 1) for word in words)
    if read_value(words, "resume"):
        raise UserError(
            f"resume={given['resume']} goes on with one run and -m starts several: leave one of "
            f"the two out."
        )
    if "run_dir" not in given:
        return arguments
    place = Path(str(read_value(words, "run_dir")))
    if any(place.glob("*/last.pt")):
        raise UserError(f"run_dir={place} holds runs: name another folder for this sweep.")
    return [*arguments, f"hydra.sweep.dir={given['run_dir']}"]


def refuse_place(arguments: list[str]) -> None:
    """Refuse a folder that Hydra cannot name to itself."""
    places = [word for word in arguments if word.startswith("run_dir=") and r"\${" in word]
    if places or "${" in str(Path.cwd()):
        place = (places or [f"'{Path.cwd()}'"])[0]
        raise UserError(f"{place}: no run can be kept in a folder with ${{ in its name.")


def refuse_deleted(arguments: list[str]) -> None:
    """Refuse a word that takes a setting away, such as ~model."""
    for word in arguments:
        if word.startswith("~") and "/" not in word and not word.startswith("~hydra"):
            raise UserError(
                f"{word} takes a setting away, and a command needs them all: leave it out, or give "
                f"the setting another value."
            )


def mend_words(arguments: list[str]) -> list[str]:
    """Return a command line whose words set what they were meant to; options stay as they are."""
    return [_mend(word) if "=" in word and not word.startswith("-") else word for word in arguments]


def _mend(word: str) -> str:
    key, _, value = word.partition("=")
    is_quoted = len(value) > 1 and value[0] in "'\"" and value[-1] == value[0]
    if not is_quoted and not {"'", '"'} & set(value):
        numbers = NUMBERS if key in TEXTS else NAMES
        word = key + "=" + numbers.sub(r'"\g<0>"', value)
    try:
        (override,) = parse([word])
        text = None if override.is_sweep_override() else override.value()
        is_path = isinstance(text, str) and at_home(text) != text
    except HydraException:
        text = value[1:-1] if is_quoted else value
        # Whatever else cannot be read is a mistake, as is a comma, which makes a sweep.
        is_path = is_quoted or (PATHLIKE.search(text) and "," not in text)
        is_path = is_path and text[:1] not in ("[", "{", "'", '"')
        text = literal(text)
    return write_word(key, at_home(text)) if is_path else word
