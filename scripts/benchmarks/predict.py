"""Predict from image files: the package's way, and one image at a time."""

import argparse
import copy
from statistics import median

import cv2
import torch
from torch import nn

from benchmarks.model import BACKBONE, SIZE, add_device_options, prepare_device, random_model
from benchmarks.sample import add_sample_options, read_sample
from benchmarks.turns import median_ratio, say_seconds, take_turns
from landmarks.data.cropped import CroppedFaces
from landmarks.data.faces import Faces
from landmarks.data.loader import Batches, choose_workers
from landmarks.precision import Precision
from landmarks.validation import predict


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    add_sample_options(parser, faces=192)
    add_device_options(parser)
    parser.add_argument("--batch-size", type=int, default=64, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="turns (default: %(default)s)")


@torch.inference_mode()
def predict_plainly(model: nn.Module, faces: Faces, device: torch.device) -> list:
    """Return every face's points (K, 2) in original pixels, one image at a time."""
    model.eval()
    found = []
    for row in faces.rows:
        image = cv2.imread(faces.path(row))
        height, width = image.shape[:2]
        image = cv2.cvtColor(cv2.resize(image, (SIZE, SIZE)), cv2.COLOR_BGR2RGB)
        pixels = torch.from_numpy(image).permute(2, 0, 1).float()[None].contiguous()
        points, _ = model(pixels.to(device))
        scale = torch.tensor([width / SIZE, height / SIZE])
        found.append((points[0].cpu() + 0.5) * scale - 0.5)
    return found


def measure(options: argparse.Namespace) -> dict:
    """Return {"images_per_s", "ratio"}."""
    faces = read_sample(options)
    device = prepare_device(options)
    precision = Precision("auto", device)
    plain = random_model(faces.num_points).to(device)
    model = copy.deepcopy(plain).to(memory_format=torch.channels_last)
    workers = choose_workers("auto", device.type)
    batches = Batches(
        *(CroppedFaces(faces, "letterbox", SIZE), faces.rows),
        batch_size=options.batch_size,
        workers=workers,
        pin_memory=device.type == "cuda",
    )
    ways = {
        "ours": lambda: [found.cpu() for _, found, _ in predict(model, batches, precision)],
        "plain": lambda: predict_plainly(plain, faces, device),
    }
    take_turns(ways, 1)  # starts the workers, allocates and tunes
    seconds = take_turns(ways, options.rounds)
    count = len(faces.rows)
    print(
        f"{count} faces from {faces.folder}, {BACKBONE} at {SIZE} pixels on {device} "
        f"(threads: {torch.get_num_threads()}):"
    )
    say_seconds(
        f"engine.predict, batches of {options.batch_size}, amp {precision.name}, channels_last, "
        f"{workers} reading processes",
        seconds["ours"],
    )
    say_seconds("one image at a time, float32", seconds["plain"])
    return {
        "images_per_s": round(count / median(seconds["ours"]), 1),
        "ratio": round(median_ratio(seconds["plain"], seconds["ours"]), 2),
    }
