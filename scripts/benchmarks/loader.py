"""Load batches of cropped faces, the contest baseline's way and ours, on as many processes."""

import argparse
from statistics import median

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.sample import add_sample_options, read_sample
from benchmarks.turns import median_ratio, say_seconds, take_turns
from landmarks.data.faces import Faces
from landmarks.data.loader import Batches

SIZE = 128


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    add_sample_options(parser, faces=500)
    parser.add_argument("--rounds", type=int, default=7, help="turns (default: %(default)s)")
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
    """Return {"first_ratio"}, the smaller of the ratios without and with a worker process."""
    faces = read_sample(options)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)  # what a worker has; so that no worker is like one worker
    print(f"{len(faces.rows)} faces from {faces.folder} at {SIZE} pixels, points and all:")
    ratios = [compare(faces, options, workers) for workers in (0, 1)]
    return {"first_ratio": round(min(ratios), 2)}


def compare(faces: Faces, options: argparse.Namespace, workers: int) -> float:
    """Return how many times as many faces a second ours loads on so many worker processes."""
    batch_size = min(options.batch_size, len(faces.rows))
    baseline = DataLoader(
        BaselineFaces(faces),
        batch_size=batch_size,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=use_one_thread,
    )
    ours = Batches(
        faces, faces.rows, crop="letterbox", size=SIZE, batch_size=batch_size, workers=workers
    )
    ways = {
        "baseline": lambda: count_faces(batch["image"] for batch in baseline),
        "ours": lambda: count_faces(batch.images for batch in ours),
    }
    take_turns(ways, 1)  # starts the workers
    seconds = take_turns(ways, options.rounds)
    where = "one worker process" if workers else "no worker process"
    for name, spent in seconds.items():
        say_seconds(f"{name}, {where}", spent)
    count = len(faces.rows)
    rates = {name: count / median(spent) for name, spent in seconds.items()}
    ratio = median_ratio(seconds["baseline"], seconds["ours"])
    print(
        f"  faces/s per worker: {rates['baseline']:.0f} and {rates['ours']:.0f}, ratio {ratio:.2f}"
    )
    return ratio


def count_faces(batches) -> int:
    """Go through all the batches."""
    return sum(len(images) for images in batches)
