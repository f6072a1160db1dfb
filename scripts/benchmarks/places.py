"""Where an epoch's faces come from: batches that are ready, a GPU, RAM, or a disk."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch

from benchmarks.train import TimedBatches
from landmarks.data.batches.cached_crops import CanvasFaces, open_canvas
from landmarks.data.batches.device_batches import DeviceBatches
from landmarks.data.batches.loader import Batches, choose_workers
from landmarks.data.faces import Faces

PHOTOS = 64  # different ones; the others are hard links to them


class TimedLoader:
    """Batches that note when `fit` begins an epoch's training."""

    def __init__(self, batches: Batches | DeviceBatches):
        self.batches, self.asked = batches, 0.0

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self):
        return iter(self.batches)

    def __getattr__(self, name: str):
        return getattr(self.batches, name)

    def start_at(self, epoch: int, batch: int) -> None:
        """Note the time: this is the first thing an epoch does."""
        self.asked = time.perf_counter()
        self.batches.start_at(epoch, batch)


@contextmanager
def open_places(
    count: int, size: int, num_points: int, batch_size: int, device: torch.device
) -> Iterator[dict]:
    """Yield {"ready", "device", "ram", "disk"}: batches of so many faces of `size` pixels."""
    with TemporaryDirectory() as folder:
        faces = _write_faces(Path(folder) / "images", count, size, num_points)
        settings = {"batch_size": batch_size, "seed": 0, "pin_memory": device.type == "cuda"}
        places = {}
        for place in ("ram", "disk"):
            kept = replace(faces, cache=place, cache_dir=f"{folder}/cache")
            source = CanvasFaces(kept, open_canvas(kept, "letterbox", size), size)
            workers = choose_workers("auto", device.type)
            places[place] = Batches(source, np.arange(count), workers=workers, **settings)
        on_device = DeviceBatches(places["ram"], device)
        ready = [batch for batch, _ in zip(on_device, range(8), strict=False)]
        batches = [ready[i % len(ready)] for i in range(len(on_device))]
        loaders = {"device": on_device, **places}
        yield {
            "ready": TimedBatches(batches),
            **{place: TimedLoader(batches) for place, batches in loaders.items()},
        }


def _write_faces(folder: Path, count: int, size: int, num_points: int) -> Faces:
    folder.mkdir()
    random = np.random.default_rng(0)
    for i in range(min(PHOTOS, count)):
        coarse = random.integers(0, 256, (8, 8, 3), np.uint8)
        cv2.imwrite(f"{folder}/{i}.jpg", cv2.resize(coarse, (size, size)))
    for i in range(PHOTOS, count):
        (folder / f"{i}.jpg").hardlink_to(folder / f"{i % PHOTOS}.jpg")
    names = np.array([f"{i}.jpg".encode() for i in range(count)])
    points = size * random.random((count, num_points, 2), np.float32)
    return Faces(folder, names, points, source=str(folder))
