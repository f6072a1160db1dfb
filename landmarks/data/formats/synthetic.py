"""`data=synthetic`: synthetic faces, drawn once into the cache, in the contest's own layout."""

import logging
import os
from pathlib import Path

from landmarks.data.caches.cache_folder import cached
from landmarks.data.faces import Faces
from landmarks.data.formats import thousand
from landmarks.data.reading.reader_arguments import Reading
from landmarks.errors import say_count
from landmarks.settings import Count, PositiveInt, flat
from landmarks.synthetic.write_faces import write_faces

log = logging.getLogger(__name__)
VERSION = 1


@flat
def read_faces(
    *,
    train: PositiveInt = 2000,
    test: PositiveInt = 200,
    seed: Count = 0,
    reading: Reading,
) -> Faces:
    """Return synthetic faces with 971 points, drawn now if the cache does not hold them.

    Args:
        train, test: how many of each.
        seed: another seed, other faces.

    Raises:
        UserError: if the cache cannot be written.
    """
    recipe = {"train": train, "test": test, "seed": seed, "version": VERSION}

    def build(aside: Path) -> dict:
        log.info(f"Drawing {say_count(train + test, 'synthetic face')}, once for all runs.")
        write_faces(aside, train, test, seed)
        return {}

    source = {"path": f"{train}-{test}-{seed}", **recipe}
    folder, _ = cached("synthetic", source, build, reading.cache_dir, _is_whole)
    return thousand.read_faces(str(folder), **vars(reading))


def _is_whole(folder: Path, note: dict) -> bool:
    """Say whether every image and list is still there."""
    lists = ("train/landmarks.csv", "test/landmarks.csv", "test/test_points.csv")
    return all((folder / name).is_file() for name in lists) and all(
        (folder / part / "images").is_dir()
        and len(os.listdir(folder / part / "images")) == note[part]  # noqa: PTH208
        for part in ("train", "test")
    )
