"""The reader of the data that a command line names by data.root alone, or with data=auto."""

from pathlib import Path

from landmarks.commands.choices import read_text
from landmarks.data.find_format import Format, find_format
from landmarks.errors import UserError

COMMANDS = ("train", "check")  # whose data are those of data.root; others have a checkpoint's


def choose_format(
    command: str,
    data: str | None,
    root: str | None,
    experiment: str | None,
    folders: tuple[str, ...] = (),
) -> Format | None:
    """Return the reader that a command line means; None where it means the one it has anyway.

    Args:
        data, root, experiment: what the words set, None where they do not.
        folders: of a user's own files of settings.

    Raises:
        UserError: if several readers might be meant or, with data=auto, none is found.
    """
    if data not in (None, "auto") or (data is None and (root is None or command not in COMMANDS)):
        return None
    if data is None and experiment and "/data:" in read_text(f"experiment/{experiment}", folders):
        return None
    place = Path(root or "data")
    found = find_format(place)
    if data == "auto":
        if found is None:
            raise UserError(
                f"data=auto: no labels of a known kind in '{place}': set data.root=FOLDER, or name "
                f"the format with data=NAME (docs/data.md lists them)."
            )
        return found
    return None if found is None or found.name == "thousand" else found
