"""Train by one process and by several at the same batch, and compare what they end with.

A difference of weights is the largest of all weights, averaged weights and batch statistics, as a
share of the value or of 1 where that is larger; `moved` is that of before and after. Errors are
those of a validation set that no batch and no number of processes parts evenly.

Faces are drawn ones, with many labels missing, most of them in the first half of a batch. As in
use, weights are trained already: one process trains them for `--warm` steps before. Keypoint R-CNN
has fixed norms as from published weights, and `keypoint_rcnn_norms` batch norms. It draws random
boxes, which processes cannot draw alike: here it takes all, and moves none.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from landmarks.data.batches.batch_order import BatchOrder
from landmarks.data.batches.cropped_faces import Batch
from landmarks.distributed import collectives, processes, rank_messages
from landmarks.geometry import crop_matrix, transform
from landmarks.losses import adaptive_wing, l1
from landmarks.models.builders import regressor, unet
from landmarks.models.keypoint_rcnn import face_boxes
from landmarks.models.keypoint_rcnn.detector import keypoint_rcnn
from landmarks.synthetic.contours import NUM_POINTS
from landmarks.synthetic.paint_face import draw_face
from landmarks.training.data_parallel import Replicas
from landmarks.training.precision import Precision
from landmarks.training.schedules import Constant
from landmarks.training.training_state import Training
from landmarks.training.validation import validate
from landmarks.training.weight_averaging import Ema

POINTS, ALL, VALIDATED = range(0, NUM_POINTS, 15), 10**6, 13
CPU, BOUND = torch.device("cpu"), 1e-5  # within which all are equal
MODELS = "resnet18", "unet_resnet18", "keypoint_rcnn", "keypoint_rcnn_norms"
WARM, STEPS, JUDGED = range(3)  # of which faces are drawn


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    parser.add_argument("--processes", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--warm", type=int, default=60, help="steps before (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=20, help="(default: %(default)s)")
    parser.add_argument("--batch", type=int, default=8, help="faces (default: %(default)s)")
    parser.add_argument("--size", type=int, default=96, help="pixels (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=1e-4, help="of SGD (default: %(default)s)")
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)


def measure(options: argparse.Namespace) -> dict:
    """Return for each model and number of processes the largest differences, and the seconds."""
    found = {}
    for name in options.models:
        with tempfile.TemporaryDirectory() as folder:
            words = folder, name, options.warm, options.steps, options.batch
            words = *words, options.size, options.lr
            seconds = {way: _run(words, way, 1) for way in ("warm", "one")}
            before, one = (torch.load(Path(folder, f"{way}.pt")) for way in ("warm", "one"))
            moved = max(map(_distance, before.values(), one["weights"]))
            found[name] = {"moved": moved, "seconds": seconds}
            for count in options.processes:
                way = f"by_{count}"
                seconds[way] = _run(words, way, count)
                found[name][way] = _compare(one, torch.load(Path(folder, f"{way}.pt")))
        print(f"{name}: {found[name]}", flush=True)
    return found


def _compare(one: dict, other: dict) -> dict:
    parts = ("weights", "averaged", "losses", "errors")
    apart = {part: max(map(_distance, one[part], other[part])) for part in parts}
    widest = max(range(len(one["names"])), key=lambda i: _distance(*_pair(one, other, i)))
    is_equal = max(apart.values()) <= BOUND
    return apart | {"widest": one["names"][widest], "equal": is_equal}


def _pair(one: dict, other: dict, index: int) -> tuple[torch.Tensor, torch.Tensor]:
    return one["weights"][index], other["weights"][index]


def _distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the largest difference, as a share of the value or of 1 where that is larger."""
    one, other = one.double(), other.double()
    return float(((one - other).abs() / one.abs().clamp(min=1)).max())


def _run(words: tuple, way: str, processes: int) -> float:
    """Train by so many processes; return the seconds, their start included."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        at = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(free.getsockname()[1])}
    at |= {"WORLD_SIZE": str(processes), "OMP_NUM_THREADS": "1"}
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    started = time.monotonic()
    command = [sys.executable, __file__, *map(str, words), way]
    begun = [
        subprocess.Popen(
            command,
            env={**os.environ, **at, "PYTHONPATH": path, "RANK": str(n), "LOCAL_RANK": str(n)},
        )
        for n in range(processes)
    ]
    codes = [process.wait() for process in begun]
    if any(codes):
        raise RuntimeError(f"{words} {way}: a process failed")
    return round(time.monotonic() - started, 1)


class Faces:
    """Batches of this rank's part of drawn faces.

    Args:
        what: which of the faces that can be drawn.
        rows: how many, in batches of `batch`.
    """

    def __init__(self, what: int, count: int, batch: int, size: int):
        self.what, self.batch, self.size = what, batch, size
        self.order = BatchOrder(np.arange(count), batch, None, shared=True)

    def __iter__(self):
        for rows in self.order:
            faces = [self._draw(row) for row in rows]
            images, points, matrices = map(np.stack, zip(*faces, strict=True))
            images = torch.from_numpy(images).permute(0, 3, 1, 2)  # channels last in memory
            back = torch.from_numpy(matrices)
            points = torch.from_numpy(points)
            yield Batch(images, points, back, torch.tensor(rows), torch.ones(len(rows)).bool())

    def names_of(self, epoch: int, batch: int) -> list[str]:
        """Return what faces of a batch are called."""
        return [str(row) for row in self.order.batch_rows(epoch)[batch]]

    def _draw(self, row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        random = np.random.default_rng([self.what, row])
        image, points = draw_face(random)
        height, width = image.shape[:2]
        matrix = crop_matrix("letterbox", width, height, self.size)
        image = cv2.warpAffine(image, matrix, (self.size, self.size), flags=cv2.INTER_AREA)
        points = transform(matrix, points[POINTS]).astype(np.float32)
        is_first = row % self.batch < self.batch // 2
        points[random.random(len(points)) < (0.6 if is_first else 0.2)] = np.nan
        return image, points, np.eye(2, 3, dtype=np.float32)


def train(
    folder: Path, name: str, steps: int, batch: int, size: int, rate: float, way: str
) -> dict:
    """Return weights, averaged weights and batch statistics, losses of the steps, and errors."""
    torch.manual_seed(0)
    is_warm = way == "warm"
    model = _build(name, size, is_warm).to(memory_format=torch.channels_last)
    if not is_warm:
        model.load_state_dict(torch.load(folder / "warm.pt"))
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    training = Training(
        model,
        torch.optim.Adam(trained, 1e-3) if is_warm else torch.optim.SGD(trained, rate, 0.9),
        Constant(),
        Precision("off", CPU),
        ema=Ema(model, 0.9),
        forward=Replicas(model) if processes.world() > 1 else None,
        clip=1.0,
    )
    training.plan(steps)
    model.train()
    losses = []
    for drawn in Faces(WARM if is_warm else STEPS, steps * batch, batch, size):
        losses.append(training.backward(drawn).clone())
        training.update()
    if is_warm:
        print(f"{name}: losses {[round(float(loss), 3) for loss in losses[:: steps // 10 or 1]]}")
        return model.state_dict()
    judged = Faces(JUDGED, VALIDATED, batch, size)
    errors = validate(training.judged, judged, training.precision, None)
    return {
        "names": list(model.state_dict()),
        "weights": list(model.state_dict().values()),
        "averaged": list(training.judged.state_dict().values()),
        "losses": losses,
        "errors": [torch.tensor(errors[key], dtype=torch.double) for key in ("mse", "confidence")],
    }


def _build(name: str, size: int, is_warm: bool):
    start = np.random.default_rng(0).uniform(8, size - 8, (len(POINTS), 2)).astype(np.float32)
    shape = {"num_points": len(POINTS), "input_size": size, "mean_points": start}
    options = {"weights": "none", **shape}
    if name == "resnet18":
        return regressor(**options, backbone=name, refine=1, elementwise=l1)
    if name == "unet_resnet18":
        return unet(**options, backbone="resnet18", fuse=False, elementwise=adaptive_wing)
    is_fixed = name == "keypoint_rcnn" and not is_warm
    model = keypoint_rcnn(**options, freeze=is_fixed, boxes=1, proposals=64)
    face_boxes.JITTER = 0.0
    for sampler in (model.head.rpn.fg_bg_sampler.sampler, model.head.roi_heads.fg_bg_sampler):
        sampler.batch_size_per_image, sampler.positive_fraction = ALL, 1.0
    return model


def main(folder: str, name: str, *numbers: str) -> None:
    """Be one of the processes; the first one leaves a file in the folder."""
    warm, steps, batch, size, rate, way = numbers
    torch.set_num_threads(1)
    if processes.world() > 1:
        rank_messages.meet()
    steps = warm if way == "warm" else steps
    with collectives.joined(CPU):
        found = train(Path(folder), name, int(steps), int(batch), int(size), float(rate), way)
    if processes.is_main():
        torch.save(found, Path(folder, f"{way}.pt"))


if __name__ == "__main__":
    main(*sys.argv[1:])
