"""Faults planted in a copy of a data set in the contest's layout."""

import shutil
from pathlib import Path

import numpy as np

PLANTED = {
    "shifted": 20,  # by 10 to 40 % of the face's size
    "corrupt": 5,  # cut short
    "duplicate": 10,  # another face's file and labels
    "jittered": 15,  # noise in every point
    "swapped": 5,  # left and right points exchanged
    "thrown": 10,  # one point at 0, 0
}
REASONS = {  # what `landmarks check` may call them
    "shifted": {"shifted", "off-image"},
    "corrupt": {"corrupt"},
    "duplicate": {"duplicate"},
    "jittered": {"jittered", "misplaced", "shifted"},  # noise in few points moves all of them, too
    "swapped": {"swapped", "misplaced"},
    "thrown": {"misplaced", "jittered"},
}
WARNINGS = {"perhaps-shifted", "shape-outlier"}
FULL = 1000  # faces that bear all of them; fewer bear fewer


def plant(
    source: Path,
    target: Path,
    names: list[str],
    points: np.ndarray,
    flip: np.ndarray | None,
    noise: float,
    rng: np.random.Generator,
) -> dict[str, str]:
    """Write a training part with faults to `target`; return image name -> what is wrong with it.

    Args:
        source: the folder of the images; they are copied.
        points: (N, K, 2) the labels of `names`, whole pixels.
        flip: (K,) the flip permutation; None: nothing is swapped.
        noise: standard deviation of jitter, in face sizes.
    """
    points = np.array(points, np.float64)
    sizes = np.sqrt(np.ptp(points, axis=1).prod(1))
    rows = 1 + rng.permutation(len(names) - 1)
    images = target / "train/images"
    images.mkdir(parents=True)
    for name in names:
        shutil.copy(source / name, images / name)
    planted = {}
    for kind, count in PLANTED.items():
        count = (
            -(-count * min(len(names), FULL) // FULL)
            if kind != "swapped" or flip is not None
            else 0
        )
        for row in rows[len(planted) : len(planted) + count].tolist():
            planted[names[row]] = kind
            image = images / names[row]
            if kind == "corrupt":
                data = image.read_bytes()
                image.write_bytes(data[: len(data) // 4])
            elif kind == "duplicate":
                twin = int(rng.integers(row))  # of two copies the first one is called good
                shutil.copy(images / names[twin], image)
                points[row] = points[twin]
            else:
                points[row] = spoil(kind, points[row], sizes[row], flip, noise, rng)
    header = ["file_name", *(f"Point_{k}_{axis}" for k in range(points.shape[1]) for axis in "XY")]
    lines = [header] + [
        [name, *face]
        for name, face in zip(
            names, np.rint(points).astype(int).reshape(len(names), -1), strict=True
        )
    ]
    text = "".join("\t".join(map(str, line)) + "\n" for line in lines)
    (target / "train/landmarks.csv").write_text(text)
    return planted


def spoil(
    kind: str,
    face: np.ndarray,
    size: float,
    flip: np.ndarray | None,
    noise: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return a face (K, 2) with wrong labels."""
    if kind == "shifted":
        angle = rng.uniform(0, 2 * np.pi)
        return face + size * rng.uniform(0.1, 0.4) * np.array([np.cos(angle), np.sin(angle)])
    if kind == "jittered":
        return face + rng.normal(0, noise * size, face.shape)
    if kind == "swapped":
        return face[flip]
    face = face.copy()
    face[rng.integers(len(face))] = 0
    return face
