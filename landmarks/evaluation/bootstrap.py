"""How sure a figure is: the bootstrap over groups of faces that are not independent.

Groups are drawn, not faces: photos of one person, or frames of one film, fail together. The
interval is the percentile interval, widened for few groups as Hesterberg does ("What Teachers
Should Know About the Bootstrap", The American Statistician 69, 2015, section 4.3).
"""

from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, stdtrit  # scipy.stats takes a second to import

from landmarks.data.split_groups import GroupSettings, group_by_table, group_images
from landmarks.evaluation.face_errors import row_blocks

MIN_BLOCKS = 20  # fewer blocks say nothing of chance
DRAWS = 2000
LEVEL = 0.95
ASKED = 30  # points that the contest's test list asks of a face
MOST_GROUPS = 1000
CHUNK = 1 << 24  # weights drawn at once


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


class Interval(NamedTuple):
    """A mean over faces and the interval of 95 % about it; NaN where there are fewer than 2 groups.

    groups: how many were drawn from.
    """

    mean: float
    low: float
    high: float
    groups: int

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside: for a difference, that it is more than chance."""
        return self.low > 0 or self.high < 0


def mean_interval(values: np.ndarray, groups: np.ndarray, seed: int = 0) -> Interval:
    """Return the mean of the finite values (N,) and its interval.

    Args:
        groups: (N,) int, alike where faces belong together.
        seed: of what is drawn.
    """
    kept = np.isfinite(values)
    values, (kinds, groups) = values[kept], np.unique(groups[kept], return_inverse=True)
    if len(kinds) < 2:
        mean = float(values.mean()) if len(values) else np.nan
        return Interval(mean, np.nan, np.nan, len(kinds))
    totals, counts = np.bincount(groups, values), np.bincount(groups)
    rng, number = np.random.default_rng(seed), len(kinds)
    if number > MOST_GROUPS:  # joined at random: as many faces vary alike, and it takes no minutes
        joined = rng.permutation(number) % MOST_GROUPS
        totals, counts = (np.bincount(joined, values) for values in (totals, counts))
    count = len(totals)
    means, even = [], np.full(count, 1 / count)
    for draws in _chunks(count):
        weights = rng.multinomial(count, even, size=draws)
        means.append(weights @ totals / (weights @ counts))
    edge = ndtr(stdtrit(count - 1, (1 - LEVEL) / 2) * np.sqrt(count / (count - 1)))
    low, high = np.quantile(np.concatenate(means), [edge, 1 - edge])
    return Interval(float(values.mean()), float(low), float(high), number)


def difference_interval(
    first: np.ndarray, second: np.ndarray, groups: np.ndarray, seed: int = 0
) -> Interval:
    """Return the mean of first - second, (N,) errors of the same faces, and its interval."""
    return mean_interval(first - second, groups, seed)


def subset_errors(distance: np.ndarray, count: int = ASKED, seed: int = 0) -> np.ndarray:
    """Return each face's mean squared error (N,) over `count` labelled points drawn at random.

    A face with fewer has all of them. So the contest's test list draws.

    Args:
        distance: (N, K), see `FaceErrors`.
    """
    rng = np.random.default_rng(seed)
    found = np.full(len(distance), np.nan)
    for some, block in row_blocks(distance, 1024):
        block = np.asarray(block, np.float64)
        order = np.where(np.isnan(block), np.inf, rng.random(block.shape))
        wanted = min(count, block.shape[1])
        chosen = np.argpartition(order, wanted - 1, axis=1)[:, :wanted]
        squares = np.take_along_axis(block, chosen, axis=1) ** 2 / 2
        known = ~np.isnan(squares)
        totals = np.where(known, squares, 0).sum(1)
        found[some] = np.where(known.any(1), totals / np.maximum(known.sum(1), 1), np.nan)
    return found


def _chunks(groups: int) -> list[int]:
    size = max(1, min(DRAWS, CHUNK // groups))
    return [min(size, DRAWS - start) for start in range(0, DRAWS, size)]
