"""Images that are one and the same, images that look it, and faces with the same labels."""

import numpy as np

from landmarks.health.images import GOOD, Looks

NEAR = 12  # of 256 bits: pictures that differ in no more are taken for one
FLAT = 4.0  # grey levels' standard deviation below which every picture looks the same
BANDS, WINDOW = 16, 4  # orders the hashes are sorted in; followers each is held against


def first_of_each(keys: np.ndarray) -> np.ndarray:
    """Return (n,) for each row of keys (n, m) the index of the first row that equals it."""
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return first[inverse.reshape(-1)]


def same_files(looks: Looks) -> np.ndarray:
    """Return (n,) the first file of the same bytes; a file that cannot be read is its own."""
    first = np.arange(len(looks.state))
    read = np.flatnonzero(looks.content.any(1))
    if len(read):
        first[read] = read[first_of_each(looks.content[read])]
    return first


def near_pictures(looks: Looks, same: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (m,) later ones, (m,) earlier ones and (m,) differing bits of pictures much alike.

    Args:
        looks: of n files.
        same: (n,) from `same_files`; copies are left out.

    Each later one is named once, with its nearest. The hashes are sorted in `BANDS` orders, each of
    which begins with other bits, and compared to their followers: no pair of pairs is ever in
    memory. A pair that differs in few bits is neighbours in one of the orders, all but surely.
    """
    usable = (looks.state == GOOD) & (looks.spread >= FLAT) & (same == np.arange(len(same)))
    rows = np.flatnonzero(usable)
    hashes = looks.picture[rows]
    best = np.full(len(rows), NEAR + 1)
    partner = np.zeros(len(rows), int)
    for band in range(BANDS):
        turned = np.ascontiguousarray(np.roll(hashes, -2 * band, axis=1))
        order = np.argsort(turned.view(f"V{turned.shape[1]}").reshape(-1), kind="stable")
        for step in range(1, min(WINDOW, len(rows) - 1) + 1):
            one, other = order[:-step], order[step:]
            bits = np.bitwise_count(hashes[one] ^ hashes[other]).sum(1, dtype=int)
            near = np.flatnonzero(bits <= NEAR)
            for i in near[np.argsort(bits[near], kind="stable")]:
                late, early = max(one[i], other[i]), min(one[i], other[i])
                if bits[i] < best[late]:
                    best[late], partner[late] = bits[i], early
    found = np.flatnonzero(best <= NEAR)
    return rows[found], rows[partner[found]], best[found]


def same_labels(points: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return (n,) for each of `rows` the first of them with the same points (N, K, 2).

    A face with fewer than five labelled points is its own.
    """
    first = np.arange(len(rows))
    # Sums of products with fixed random numbers: equal labels have equal sums, and others not.
    weights = np.random.default_rng(0).normal(size=(points.shape[1] * 2, 2))
    sums = np.zeros((len(rows), 3))
    for i in range(0, len(rows), 1024):
        block = np.asarray(points[rows[i : i + 1024]], np.float64).reshape(-1, len(weights))
        known = np.isfinite(block)
        sums[i : i + 1024, :2] = np.einsum("nk,kd->nd", np.where(known, block, -1e4), weights)
        sums[i : i + 1024, 2] = known.sum(1)
    enough = np.flatnonzero(sums[:, 2] >= 10)
    if len(enough):
        first[enough] = enough[first_of_each(sums[enough])]
    return first
