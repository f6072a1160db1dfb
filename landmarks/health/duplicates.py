"""Images that are one and the same, images that look it, and faces with the same labels."""

import numpy as np

from landmarks.health.image_facts import GOOD, Looks

MAX_BITS = 12  # of 256 bits: pictures that differ in no more are taken for one
MIN_CONTRAST = 4.0  # grey levels' standard deviation below which every picture looks the same
BLOCK = 1024  # faces whose labels are looked at at once
SAMPLE, SAMPLE_POINTS = 2000, 64  # faces and points that say how alike labels are by chance
MAX_CHANCE_PAIRS = 0.01  # pairs of faces with equal labels that chance may make
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
    usable = (looks.state == GOOD) & (looks.spread >= MIN_CONTRAST) & (same == np.arange(len(same)))
    rows = np.flatnonzero(usable)
    hashes = looks.picture[rows]
    best = np.full(len(rows), MAX_BITS + 1)
    partner = np.zeros(len(rows), int)
    for band in range(BANDS):
        turned = np.ascontiguousarray(np.roll(hashes, -2 * band, axis=1))
        order = np.argsort(turned.view(f"V{turned.shape[1]}").reshape(-1), kind="stable")
        for step in range(1, min(WINDOW, len(rows) - 1) + 1):
            one, other = order[:-step], order[step:]
            bits = np.bitwise_count(hashes[one] ^ hashes[other]).sum(1, dtype=int)
            near = np.flatnonzero(bits <= MAX_BITS)
            for i in near[np.argsort(bits[near], kind="stable")]:
                late, early = max(one[i], other[i]), min(one[i], other[i])
                if bits[i] < best[late]:
                    best[late], partner[late] = bits[i], early
    found = np.flatnonzero(best <= MAX_BITS)
    return rows[found], rows[partner[found]], best[found]


def same_labels(points: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, float]:
    """Return (n,) for each of `rows` the first of them with the same points (N, K, 2); and how many
    labelled points that takes.

    A face with fewer is its own: among so many faces two would share as few whole pixels by chance.
    """
    first, least = np.arange(len(rows)), _telling(points, rows)
    # Sums of products with fixed random numbers: equal labels have equal sums, and others not.
    weights = np.random.default_rng(0).normal(size=(points.shape[1] * 2, 2))
    sums = np.zeros((len(rows), 3))
    for i in range(0, len(rows), BLOCK):
        block = np.asarray(points[rows[i : i + BLOCK]], np.float64).reshape(-1, len(weights))
        known = np.isfinite(block)
        sums[i : i + BLOCK, :2] = np.einsum("nk,kd->nd", np.where(known, block, -1e4), weights)
        sums[i : i + BLOCK, 2] = known.sum(1)
    enough = np.flatnonzero(sums[:, 2] >= 2 * max(least, 1))
    if len(enough):
        first[enough] = enough[first_of_each(sums[enough])]
    return first, least


def _telling(points: np.ndarray, rows: np.ndarray) -> float:
    """Return how many labelled points of a face tell it from all others.

    Two draws from a normal distribution fall on one pixel with probability 1 / sqrt(4 pi variance)
    along each of its axes.
    """
    some = rows[np.linspace(0, len(rows) - 1, min(len(rows), SAMPLE)).astype(int)]
    kept = np.unique(np.linspace(0, points.shape[1] - 1, SAMPLE_POINTS).astype(int))
    labels = np.asarray(points[some][:, kept], np.float64).reshape(-1, 2 * len(kept))
    known = np.isfinite(labels)
    mean = np.where(known, labels, 0).sum(0) / np.maximum(known.sum(0), 1)
    away = np.where(known, labels - mean, 0)
    spread = away.T @ away / max(1, len(away))
    own = min(1.0, (len(spread) / max(1, len(away))) ** 2)  # few faces do not show what goes along
    spread += own * (np.diag(np.diag(spread)) - spread)
    variances = np.linalg.eigvalsh(spread)
    nats = 0.5 * np.log(np.maximum(4 * np.pi * variances, 1)).sum()
    pairs = len(rows) ** 2 / 2
    return points.shape[1] * np.log(max(pairs, 1) / MAX_CHANCE_PAIRS) / max(nats, 1e-9)
