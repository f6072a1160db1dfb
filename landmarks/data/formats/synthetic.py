"""`data=synthetic`: synthetic faces, drawn once into the cache, in the contest's own layout."""

import os
from pathlib import Path
from typing import Literal

from landmarks.data.cache_folder import cached
from landmarks.data.faces import CacheName, Excluded, Faces, OnError
from landmarks.data.formats import thousand
from landmarks.settings import Count, PositiveInt
from landmarks.synthetic.write import write_faces

VERSION = 1


def read_faces(
    *,
    part: Literal["train", "test"] = "train",
    train: PositiveInt = 2000,
    test: PositiveInt = 200,
    seed: Count = 0,
    cache_dir: str | None = None,
    limit: PositiveInt | None = None,
    on_error: OnError = "stop",
    cache: CacheName = "auto",
    exclude: Excluded = None,
) -> Faces:
    """Return synthetic faces with 971 points, drawn now if the cache does not hold them.

    Args:
        train, test: how many of each.
        seed: another seed, other faces.
        part, cache_dir, limit, on_error, cache, exclude: see
            `landmarks.data.formats.thousand.read_faces`.

    Raises:
        UserError: if the cache cannot be written.
    """
    recipe = {"train": train, "test": test, "seed": seed, "version": VERSION}

    def build(aside: Path) -> dict:
        write_faces(aside, train, test, seed)
        return {}

    source = {"path": f"{train}-{test}-{seed}", **recipe}
    folder, _ = cached("synthetic", source, build, cache_dir, _is_whole)
    return thousand.read_faces(
        str(folder),
        part=part,
        cache_dir=cache_dir,
        limit=limit,
        on_error=on_error,
        cache=cache,
        exclude=exclude,
    )


def _is_whole(folder: Path, note: dict) -> bool:
    """Say whether every picture and list is still there."""
    lists = ("train/landmarks.csv", "test/landmarks.csv", "test/test_points.csv")
    return all((folder / name).is_file() for name in lists) and all(
        (folder / part / "images").is_dir()
        and len(os.listdir(folder / part / "images")) == note[part]  # noqa: PTH208
        for part in ("train", "test")
    )
