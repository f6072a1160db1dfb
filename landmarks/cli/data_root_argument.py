"""Words that name data by their folder alone become words that name their reader, too."""

from landmarks.cli.command_line import overrides_in, parse, read_value, searched
from landmarks.runs.find_runs import all_checkpoints
from landmarks.runs.quoting import write_word

# The formats of commands whose data are not a model's.
DEFAULTS = dict.fromkeys(("train", "plan", "check", "pack"), "thousand")


def name_reader(command: str, arguments: list[str]) -> tuple[list[str], str]:
    """Return the arguments with the reader of data.root and its files, and a sentence on why.

    They stay as they are, and the sentence is empty, where they name a reader, go on with a run, or
    mean the contest's folder, which is the default.

    Raises:
        UserError: if it cannot be told which reader is meant.
    """
    words = overrides_in(arguments)
    if not any(word.startswith(("data.root=", "data=auto")) for word in words):
        return arguments, ""
    given = [word for word in words if word.startswith("data=")]
    resumed = read_value(words, "resume")
    of_data = [word for word in words if word.startswith(("data.root=", "data=", "experiment="))]
    if any(word.is_sweep_override() for word in parse(of_data)):
        return arguments, ""  # each job may have another one
    if resumed and resumed != "auto":
        return arguments, ""
    from landmarks.commands.preparing.choose_format import (
        choose_format,  # it imports what reads data
    )

    data, root, experiment = (read_value(words, key) for key in ("data", "data.root", "experiment"))
    chosen = choose_format(
        *(None if value is None else str(value) for value in (data, root, experiment)),
        _has_own_data(command, words),
        DEFAULTS.get(command),
        searched(arguments),
    )
    if chosen is None:
        return arguments, ""
    replaced = [*given, *(word for word in words if word.startswith("data.root="))]
    rest = [word for word in arguments if word not in replaced]
    own = {word.partition("=")[0] for word in rest}
    settings = {f"data.{key}": value for key, value in chosen.settings.items()}
    named = [write_word(key, value) for key, value in settings.items() if key not in own]
    said = f"data={chosen.name}, as {chosen.why}; data=NAME names another format."
    return [*rest, f"data={chosen.name}", *named], said


def _has_own_data(command: str, words: list[str]) -> bool:
    """Say whether a command reads the data that are named, whatever a model was trained on."""
    if command in DEFAULTS or read_value(words, "predictions") is not None:
        return True
    is_alone = command == "show" and read_value(words, "checkpoint") is None
    return is_alone and not all_checkpoints("best.pt")
