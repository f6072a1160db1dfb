"""Train by one process and by several at the same batch, and compare what they end with.

A difference of weights is the largest of all weights, averaged weights and batch statistics, as a
share of the value or of 1 where that is larger. On a CPU torch's own batch norm adds up thousands
of float32 numbers one after the other; those of several processes add in float64. So one process
is trained twice: as it is, and with the norms of several (`same_norms`).

Faces are noise with many labels missing, most of them in the first half of a batch. Keypoint R-CNN
draws random boxes, which processes cannot draw alike: here it takes all, and moves none.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from landmarks.data.cropped import Batch
from landmarks.distributed import collectives, processes, store
from landmarks.losses import adaptive_wing, l1
from landmarks.models.builders import regressor, unet
from landmarks.models.keypoint_rcnn import face_boxes
from landmarks.models.keypoint_rcnn.detector import keypoint_rcnn
from landmarks.models.sync_norm import SyncNorm
from landmarks.training.ema import Ema
from landmarks.training.precision import Precision
from landmarks.training.replicas import Replicas
from landmarks.training.schedules import Constant
from landmarks.training.state import Training

POINTS, BATCH, ALL = 7, 8, 10**6
CPU = torch.device("cpu")
MODELS = "resnet18", "unet_resnet18", "keypoint_rcnn"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    parser.add_argument("--processes", type=int, default=4, help="(default: %(default)s)")
    parser.add_argument("--steps", type=int, default=20, help="(default: %(default)s)")
    parser.add_argument("--size", type=int, default=64, help="pixels (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=1e-4, help="of SGD (default: %(default)s)")
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)


def measure(options: argparse.Namespace) -> dict:
    """Return for each model the largest difference of weights and of losses, and the seconds."""
    found = {}
    for name in options.models:
        with tempfile.TemporaryDirectory() as folder:
            ends = Path(folder) / "one.pt", Path(folder) / "same.pt", Path(folder) / "several.pt"
            words = name, options.steps, options.size, options.lr
            counts = 1, 1, options.processes
            seconds = [_run((*words, end), count) for end, count in zip(ends, counts, strict=True)]
            one, same, several = map(torch.load, ends)
        found[name] = {
            "weights": _widest(one, several),
            "losses": _distance(one["losses"], several["losses"]),
            "same_norms": {
                "weights": _widest(same, several),
                "losses": _distance(same["losses"], several["losses"]),
            },
            "one_by_norms": _widest(one, same),
            "seconds": seconds,
        }
        print(f"{name}: {found[name]}")
    return found


def _widest(one: dict, other: dict) -> float:
    return max(map(_distance, one["weights"], other["weights"]))


def _distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the largest difference, as a share of the value or of 1 where that is larger."""
    one, other = one.double(), other.double()
    return float(((one - other).abs() / one.abs().clamp(min=1)).max())


def _run(words: tuple, processes: int) -> float:
    """Train by so many processes; return the seconds, their start included."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        at = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(free.getsockname()[1])}
    at |= {"WORLD_SIZE": str(processes), "OMP_NUM_THREADS": "1"}
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    started = time.monotonic()
    command = [sys.executable, __file__, *map(str, words)]
    begun = [
        subprocess.Popen(
            command,
            env={**os.environ, **at, "PYTHONPATH": path, "RANK": str(n), "LOCAL_RANK": str(n)},
        )
        for n in range(processes)
    ]
    codes = [process.wait() for process in begun]
    if any(codes):
        raise RuntimeError(f"{words}: a process failed")
    return round(time.monotonic() - started, 1)


def train(name: str, steps: int, size: int, rate: float, same_norms: bool) -> dict:
    """Return weights, averaged weights and batch statistics, and the losses of the steps."""
    torch.manual_seed(0)
    model = _build(name, size).to(memory_format=torch.channels_last)
    for module in model.modules() if same_norms else []:
        if type(module) is torch.nn.BatchNorm2d:
            module.__class__ = SyncNorm
    training = Training(
        model,
        torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9),
        Constant(),
        Precision("off", CPU),
        ema=Ema(model, 0.9),
        forward=Replicas(model) if processes.world() > 1 else None,
        clip=1.0,
    )
    training.plan(steps)
    model.train()
    losses = []
    for step in range(steps):
        losses.append(float(training.backward(_draw(step, size))))
        training.update()
    states = [*model.state_dict().values(), *training.judged.state_dict().values()]
    return {"weights": states, "losses": torch.tensor(losses)}


def _build(name: str, size: int):
    start = np.random.default_rng(0).uniform(8, size - 8, (POINTS, 2)).astype(np.float32)
    options = {"weights": "none", "num_points": POINTS, "input_size": size, "mean_points": start}
    if name == "resnet18":
        return regressor(**options, backbone=name, refine=1, elementwise=l1)
    if name == "unet_resnet18":
        return unet(**options, backbone="resnet18", fuse=False, elementwise=adaptive_wing)
    model, face_boxes.JITTER = keypoint_rcnn(**options), 0.0
    for sampler in (model.head.rpn.fg_bg_sampler.sampler, model.head.roi_heads.fg_bg_sampler):
        sampler.batch_size_per_image, sampler.positive_fraction = ALL, 1.0
    return model


def _draw(step: int, size: int) -> Batch:
    """Return this rank's part of a batch."""
    random = np.random.default_rng([1, step])
    images = random.integers(0, 255, (BATCH, 3, size // 8, size // 8), dtype=np.uint8)
    images = torch.from_numpy(images.repeat(8, 2).repeat(8, 3))
    points = random.uniform(4, size - 4, (BATCH, POINTS, 2)).astype(np.float32)
    missing = np.where(np.arange(BATCH) < BATCH // 2, 0.6, 0.2)
    points[random.random((BATCH, POINTS)) < missing[:, None]] = np.nan
    images = images.contiguous(memory_format=torch.channels_last)
    parts = map(processes.part_of, (images, torch.from_numpy(points)))
    return Batch(*parts, None, None, None)


def main(name: str, steps: str, size: str, rate: str, end: str) -> None:
    """Be one of the processes; the first one leaves the file `end`."""
    torch.set_num_threads(1)
    if processes.world() > 1:
        store.meet()
    with collectives.joined(CPU):
        found = train(name, int(steps), int(size), float(rate), Path(end).stem == "same")
    if processes.is_main():
        torch.save(found, end)


if __name__ == "__main__":
    main(*sys.argv[1:])
