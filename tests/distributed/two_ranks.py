"""What one of two processes does in test_two_ranks.py; it is started with RANK set.

It trains two models on its part of drawn faces, validates on a set that does not part evenly, and
leaves what it found in FOLDER. Then it trains from the command line in the folder where it is.
"""

import time
from pathlib import Path

import numpy as np
import torch

from landmarks.augment.augmentation import Augment
from landmarks.cli import main as cli
from landmarks.data.batches.batch_order import BatchOrder
from landmarks.data.batches.cropped_faces import Batch
from landmarks.distributed import collectives, processes, rank_messages
from landmarks.distributed.deal_work import dealing, merge
from landmarks.losses import adaptive_wing, l1
from landmarks.models.builders import regressor, unet
from landmarks.models.freezing import settle_norms
from landmarks.training.data_parallel import Replicas, same_buffers
from landmarks.training.precision import Precision
from landmarks.training.schedules import Constant
from landmarks.training.training_state import Training
from landmarks.training.validation import validate
from landmarks.training.weight_averaging import Ema

CPU = torch.device("cpu")
K, SIZE, FACES, BATCH, STEPS = 4, 32, 24, 8, 5
OPTIONS = {"backbone": "resnet18", "weights": "none", "num_points": K, "input_size": SIZE}
MODELS = {
    "regression": lambda: regressor(**OPTIONS, refine=1, freeze=1, elementwise=l1),
    "heatmaps": lambda: unet(**OPTIONS, width=16, fuse=False, elementwise=adaptive_wing),
}


class Drawn:
    """Faces that are noise, with points of which many are missing, most of them in some faces."""

    def __init__(self, shuffled):
        rng = np.random.default_rng(5)
        self.images = rng.integers(0, 255, (FACES, 3, 8, 8)).repeat(4, 2).repeat(4, 3)
        self.points = rng.uniform(3, SIZE - 4, (FACES, K, 2)).astype(np.float32)
        self.points[rng.random((FACES, K)) < np.linspace(0, 0.9, FACES)[:, None]] = np.nan
        rows = np.arange(FACES) if shuffled else np.arange(FACES - 7)
        self.order = BatchOrder(rows, BATCH, 0 if shuffled else None, shared=True)

    def __iter__(self):
        for rows in self.order:
            images = torch.from_numpy(self.images[rows].astype(np.uint8))
            images = images.contiguous(memory_format=torch.channels_last)
            points = torch.from_numpy(self.points[rows])
            eye = torch.eye(2, 3).expand(len(rows), 2, 3)
            yield Batch(images, points, eye, torch.tensor(rows), torch.ones(len(rows)).bool())

    def names_of(self, epoch, batch):
        return [f"{row}.jpg" for row in self.order.batch_rows(epoch)[batch]]


def train(make):
    """Return a model's weights, their average, the losses and the errors after some steps."""
    torch.manual_seed(0)
    model = make()
    several = processes.world() > 1
    damage = {"degrade": 0.5, "blur": 1.0, "noise": 8.0, "blocks": 1.0}
    training = Training(
        model,
        torch.optim.SGD(model.parameters(), lr=2e-4, momentum=0.9),
        Constant(),
        Precision("off", CPU),
        ema=Ema(model, 0.9),
        forward=Replicas(model) if several else None,
        augment=Augment(
            rotate=20, scale=0.1, erase=0.3, erase_size=0.3, gamma=0.2, input_size=SIZE, **damage
        ),
        accumulate=2,
        clip=5.0,
    )
    training.plan(STEPS)
    batches, losses = Drawn(shuffled=True), []
    for training.epoch in range(2):  # of the regression the first one's backbone is frozen
        batches.order.epoch = training.epoch
        model.train()
        for number, batch in enumerate(batches):
            if training.step == STEPS:
                break
            # The last group has one batch, and nobody knew that it would be the last.
            losses.append(float(training.backward(batch, number % 2 == 1)))
            if number % 2 == 1 or number == 2 or training.step == STEPS:
                training.update()
    same_buffers(model, training.judged)
    found = validate(training.judged, Drawn(shuffled=False), training.precision, None)
    return {
        "model": model.state_dict(),
        "average": training.ema.model.state_dict(),
        "losses": losses,
        "errors": found,
    }


class Blind(torch.nn.Module):
    """Predicts nothing for faces whose first pixel is dark."""

    def forward(self, images):
        points = images.new_zeros((len(images), K, 2), dtype=torch.float32)
        points[images[:, 0, 0, 0] < 40] = torch.nan
        return points, points[..., 0]

    def report(self):
        pass


def agree():
    """Return what ranks agree on, whose own values differ."""
    number = processes.rank()
    norm = torch.nn.Sequential(torch.nn.BatchNorm2d(2, momentum=1.0))
    settle_norms(norm, "batch", synced=True)
    norm(torch.full((1, 2, 2, 2), 1.0 + 2 * number))
    return {
        "agree": collectives.agree({"steps": 7 + number}),
        "largest": collectives.largest(15 * number),
        "gather": collectives.gather(f"rank {number}"),
        "sum": collectives.reduce(torch.tensor([1.0 + number])),
        "norm": [float(norm[0].running_mean[0]), float(norm[0].running_var[0])],
        "blind": validate(Blind(), Drawn(shuffled=False), Precision("off", CPU), None)["faults"],
    }


def part_ways():
    """Return how this rank comes out of two exchanges that one of them leaves, and of a third."""
    ends = []
    for leaving in range(2):
        try:
            with dealing():
                if processes.rank() == leaving:
                    raise ValueError
                list(merge(range(3), 6))
        except (ValueError, rank_messages.Lost) as error:
            ends.append(type(error).__name__)
    with dealing():
        return [*ends, list(merge(processes.part_of("abcd"), 4, everywhere=True))]


def find():
    """Return all that is compared, of this rank, which has met the others, or of one process."""
    with collectives.joined(CPU):
        return {name: train(make) for name, make in MODELS.items()} | {"agreed": agree()}


def main(folder, contest):
    """Leave what this rank finds in a folder.

    Args:
        contest: data to train on from the command line.
    """
    torch.set_num_threads(1)
    rank_messages.meet()
    found = find()
    started = time.monotonic()
    found["parted"] = part_ways(), time.monotonic() - started
    tiny = (
        "model=resnet18 model.backbone=shufflenet_v2_x0_5 model.weights=none input_size=32 amp=off "
        f"split.share=0.2 device=cpu workers=0 data.root={contest}"
    ).split()
    words = [*tiny, "batch_size=4", "epochs=1", "name=of_two", "accumulate=2"]
    found["code"] = cli.main(["train", *words])
    found["rows"] = sorted(path.name for path in Path().glob("runs/*/*"))
    if processes.rank() == 1:
        words.append("clip=1")  # another word than rank 0 has
    found["refused"] = cli.main(["train", *words])
    torch.save(found, Path(folder) / f"{processes.rank()}.pt")
