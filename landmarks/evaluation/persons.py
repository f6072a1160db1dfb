"""Which faces belong together, as they show one person: told by a table, or by their rows."""

import numpy as np

from landmarks.data.split_groups import GroupSettings, group_by_table, group_images

MIN_BLOCKS = 20  # fewer blocks say nothing of chance


def group_faces(
    names: np.ndarray,
    rows: np.ndarray,
    source: str,
    table: str | None,
    column: str | None,
    block: int,
) -> tuple[np.ndarray, str]:
    """Return a number (N,) for each face, alike within a group, and in words what the groups are.

    Args:
        names: (N,) bytes.
        rows: (N,) where they stand in the data set: neighbours show one person.
        source: of the faces, for messages.
        table, column: a file and its column of groups; None: blocks of neighbouring rows.
        block: rows a block; fewer where there would be less than 20 blocks.

    Raises:
        UserError: if the table does not fit the faces.
    """
    if table is not None and column is not None:
        told = GroupSettings(f"groups={column}", "table", "groups")
        return group_by_table(names, source, table, column, told), f"groups of '{column}'"
    block = max(1, min(block, len(names) // MIN_BLOCKS))
    order = np.argsort(rows, kind="stable")
    place = np.empty(len(rows), int)
    place[order] = np.arange(len(rows)) // block
    images = group_images(names)
    _, first = np.unique(images, return_index=True)
    what = f"blocks of {block} neighbouring rows" if block > 1 else "single images"
    return place[first[images]], what  # an image is not parted
