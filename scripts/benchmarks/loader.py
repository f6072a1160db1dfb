"""Load batches of cropped faces, the contest baseline's way and ours, on as many processes."""

import argparse
import itertools
import tempfile
from dataclasses import replace
from statistics import median

import cv2
import numpy as np
import torch
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.model import NUM_POINTS, random_model
from benchmarks.sample import add_sample_options, read_sample
from benchmarks.train import random_batch
from benchmarks.turns import add_rounds, median_ratio, say_seconds, take_turns
from landmarks.augment.augmentation import Augment
from landmarks.data.batches.cached_crops import CanvasFaces, open_canvas
from landmarks.data.batches.cropped_faces import CroppedFaces
from landmarks.data.batches.loader import Batches
from landmarks.data.faces import Faces
from landmarks.training.optimizers import adamw

SIZE = 128


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    add_sample_options(parser, faces=500)
    add_rounds(parser, 7)
    parser.add_argument("--batch-size", type=int, default=32, help="default: %(default)s")


class BaselineFaces(Dataset):
    """The contest baseline's data set: short side to 128, centre crop, float tensors one by one."""

    def __init__(self, faces: Faces):
        self.paths = [faces.path(row) for row in faces.rows]
        # Whole numbers, like the baseline's labels: NaN, which they do not have, would not fit.
        self.points = torch.from_numpy(np.nan_to_num(faces.points[faces.rows]).astype(np.int16))
        self.to_tensor = transforms.Compose(
            [
                transforms.ToPILImage(),
                transforms.ToTensor(),
                transforms.Normalize(mean=[0.5, 0.5, 0.5], std=[0.5, 0.5, 0.5]),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict:
        image = cv2.cvtColor(cv2.imread(self.paths[index]), cv2.COLOR_BGR2RGB)
        scale = SIZE / min(image.shape[:2])
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        top, left = (image.shape[0] - SIZE) // 2, (image.shape[1] - SIZE) // 2
        points = self.points[index].float() * scale - torch.tensor([left, top])
        return {
            "image": self.to_tensor(image[top : top + SIZE, left : left + SIZE]),
            "landmarks": points.reshape(-1),
            "scale": scale,
            "crop_left": left,
            "crop_top": top,
        }


def use_one_thread(worker: int) -> None:
    """Keep OpenCV off the other cores, as our workers do: the ratio is that of one core's work."""
    cv2.setNumThreads(0)


def measure(options: argparse.Namespace) -> dict:
    """Return {"first_ratio", "cached_ratio", "augment_share"}.

    The ratios are the smaller ones of those without and with a worker process: of a pass that
    decodes, and of one that gathers from the canvas cache. The share is augment=light's of a step
    of resnet18, on as many threads as torch takes.
    """
    threads = torch.get_num_threads()
    faces = read_sample(options)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)  # what a worker has; so that no worker is like one worker
    print(f"{len(faces.rows)} faces from {faces.folder} at {SIZE} pixels, points and all:")
    with tempfile.TemporaryDirectory() as folder:
        kept = replace(faces, cache="disk", cache_dir=folder)
        cached = CanvasFaces(faces, open_canvas(kept, "letterbox", SIZE), SIZE)
        plain = CroppedFaces(faces, "letterbox", SIZE)
        ratios = [compare(faces, plain, cached, options, workers) for workers in (0, 1)]
    torch.set_num_threads(threads)
    first, second = (min(pair) for pair in zip(*ratios, strict=True))
    return {
        "first_ratio": round(first, 2),
        "cached_ratio": round(second, 1),
        "augment_share": round(share_of_step(options), 3),
    }


def compare(
    faces: Faces, plain: Dataset, cached: Dataset, options: argparse.Namespace, workers: int
) -> tuple[float, float]:
    """Return how many times as many faces a second ours loads, decoding and from the cache."""
    batch_size = min(options.batch_size, len(faces.rows))
    baseline = DataLoader(
        BaselineFaces(faces),
        batch_size=batch_size,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=use_one_thread,
    )
    settings = {"batch_size": batch_size, "workers": workers}
    ours, ours_cached = (Batches(source, faces.rows, **settings) for source in (plain, cached))
    ways = {
        "baseline": lambda: count_faces(batch["image"] for batch in baseline),
        "ours": lambda: count_faces(batch.images for batch in ours),
        "ours, cached": lambda: count_faces(batch.images for batch in ours_cached),
    }
    take_turns(ways, 1)  # starts the workers
    seconds = take_turns(ways, options.rounds)
    where = "one worker process" if workers else "no worker process"
    for name, spent in seconds.items():
        say_seconds(f"{name}, {where}", spent)
    ratios = [median_ratio(seconds["baseline"], seconds[name]) for name in list(ways)[1:]]
    rates = [len(faces.rows) / median(spent) for spent in seconds.values()]
    print(
        f"  faces/s per worker: {rates[0]:.0f}, {rates[1]:.0f} and {rates[2]:.0f}, "
        f"ratios {ratios[0]:.2f} and {ratios[1]:.1f}"
    )
    return ratios[0], ratios[1]


def share_of_step(options: argparse.Namespace) -> float:
    """Return the time of augment=light over that of a training step, augmentation not included."""
    batch = random_batch(options.batch_size, 0)
    model = random_model().to(memory_format=torch.channels_last).train()
    optimizer = adamw(model, lr=1e-3)
    change = Augment(**light(), input_size=SIZE, permutation=np.arange(NUM_POINTS)[::-1].copy())
    steps = itertools.count()

    def step() -> None:
        model(batch.images, batch.points).backward()
        optimizer.step()
        optimizer.zero_grad()

    ways = {"step": step, "augment": lambda: change(batch.images, batch.points, next(steps))}
    take_turns(ways, 1)
    seconds = take_turns(ways, options.rounds)
    for name, spent in seconds.items():
        say_seconds(f"{name}, {options.batch_size} faces", spent)
    return median_ratio(seconds["augment"], seconds["step"])


def light() -> dict:
    """Return the settings of augment=light."""
    with initialize_config_module("landmarks.configs", version_base="1.3"):
        node = OmegaConf.to_container(compose("train").augment)
    return {key: value for key, value in node.items() if not key.startswith("_")}


def count_faces(batches) -> int:
    """Go through all the batches."""
    return sum(len(images) for images in batches)
