"""Predict from image files: the package's way, one image at a time, and writing it all down."""

import argparse
import copy
from itertools import cycle
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.model import BACKBONE, SIZE, add_device_options, prepare_device, random_model
from benchmarks.sample import add_sample_options, read_sample
from benchmarks.turns import add_rounds, median_ratio, say_seconds, take_turns
from landmarks.data.batches.cropped_faces import CroppedFaces
from landmarks.data.batches.loader import Batches, choose_workers
from landmarks.data.faces import Faces
from landmarks.devices import move, synchronize
from landmarks.outputs.predictions import PredictionFile
from landmarks.training.precision import Precision
from landmarks.training.validation import predict


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    add_sample_options(parser, faces=192)
    add_device_options(parser)
    parser.add_argument("--batch-size", type=int, default=64, help="default: %(default)s")
    parser.add_argument(
        "--written", type=int, help="faces whose predictions are written (default: all, once)"
    )
    add_rounds(parser)


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


def run_model(model: nn.Module, images: Tensor, precision: Precision) -> None:
    """Predict a batch that is there already, and wait for it."""
    with torch.inference_mode(), precision.autocast():
        model(move(images, precision.device))
    synchronize(precision.device)


def write_text(found: list[tuple], names: np.ndarray, count: int) -> None:
    """Write predictions.csv of so many faces, taking the batches found over and over."""
    names = np.resize(names, count)
    with TemporaryDirectory() as folder:
        points = found[0][0].shape[1]
        with PredictionFile(Path(folder), names, points, rounded=True, npz=False) as file:
            for batch in cycle(found):
                left = count - file.done
                if left == 0:
                    break
                file.add(*(values[:left] for values in batch))


def measure(options: argparse.Namespace) -> dict:
    """Return {"images_per_s", "ratio", "text_us", "text_share"}: text a face, over its forward."""
    faces = read_sample(options)
    count = len(faces.rows)
    written = options.written or count
    device = prepare_device(options)
    precision = Precision("auto", device)
    plain = random_model(faces.num_points).to(device)
    model = copy.deepcopy(plain).to(memory_format=torch.channels_last)
    workers = choose_workers("auto", device.type)
    batches = Batches(
        CroppedFaces(faces, "letterbox", SIZE),
        faces.rows,
        batch_size=options.batch_size,
        workers=workers,
        pin_memory=device.type == "cuda",
    )
    found = [
        (points.cpu().numpy(), confidence.float().cpu().numpy())
        for _, points, confidence in predict(model, batches, precision)
    ]
    example = next(iter(batches)).images
    ways = {
        "ours": lambda: [found.cpu() for _, found, _ in predict(model, batches, precision)],
        "plain": lambda: predict_plainly(plain, faces, device),
        "forward": lambda: run_model(model, example, precision),
        "text": lambda: write_text(found, faces.names, written),
    }
    take_turns(ways, 1)  # starts the workers, allocates and tunes
    seconds = take_turns(ways, options.rounds)
    text = 1e6 * median(seconds["text"]) / written
    forward = 1e6 * median(seconds["forward"]) / len(example)
    print(
        f"{count} faces from {faces.folder}, {BACKBONE} at {SIZE} pixels on {device} "
        f"(threads: {torch.get_num_threads()}):"
    )
    say_seconds(
        f"validation.predict, batches of {options.batch_size}, amp {precision.name}, "
        f"channels_last, {workers} reading processes",
        seconds["ours"],
    )
    say_seconds("one image at a time, float32", seconds["plain"])
    print(
        f"  predictions.csv, {written} faces of {faces.num_points} points: {text:.0f} us a face; "
        f"the model alone: {forward:.0f} us a face"
    )
    return {
        "images_per_s": round(count / median(seconds["ours"]), 1),
        "ratio": round(median_ratio(seconds["plain"], seconds["ours"]), 2),
        "text_us": round(text),
        "text_share": round(text / forward, 4),
    }
