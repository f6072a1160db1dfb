"""The reader of the data that a command line names by data.root alone, or with data=auto."""

from pathlib import Path

from landmarks.commands.preparing.config_groups import read_text
from landmarks.data.reading.find_format import Format, find_format, of_store, require_format
from landmarks.data.shards.shard_store import is_remote


def choose_format(
    data: str | None,
    root: str | None,
    experiment: str | None,
    has_own_data: bool,
    default: str | None,
    folders: tuple[str, ...] = (),
) -> Format | None:
    """Return the reader that a command line means; None where it means the one it has anyway.

    Args:
        data, root, experiment: what the words set, None where they do not.
        has_own_data: whether the command reads data.root by itself; else a model's data say how.
        default: the format that the command reads where none is named; None: it has none.
        folders: of a user's own files of settings.

    Raises:
        UserError: if several readers might be meant or, with data=auto, none is found.
    """
    if data not in (None, "auto") or (data is None and (root is None or not has_own_data)):
        return None
    if data is None and experiment and "/data:" in read_text(f"experiment/{experiment}", folders):
        return None
    if root is not None and is_remote(root):
        return of_store(root)
    place = Path(root or "data")
    is_needed = data == "auto" or default is None
    found = require_format(place) if is_needed else find_format(place)
    if data is None and found is not None and found.name == default:
        return None
    return found
