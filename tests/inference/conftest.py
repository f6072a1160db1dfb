import numpy as np
import pytest
import torch

from landmarks.commands.build import nodes_of
from landmarks.runs.checkpoint import save_checkpoint
from landmarks.runs.trusted import trusted

K, SIZE = 5, 32
LAYOUT = {"name": "five", "num_points": K, "regions": {"eyes": [0, 1], "rest": [2, 4]}}


@pytest.fixture(scope="session")
def run_of(checkpoint_of, tmp_path_factory):
    """Make the folder of a run whose small model has random weights, and return it."""

    def make(name="resnet18", seed=0, settings=(), size=SIZE, folder=None, **changes):
        node = next(dict(node) for node in nodes_of("model") if is_of(node, name))
        node |= {"weights": "none"} if "weights" in node else {}
        arguments = {key: node[key] for key in node if not key.startswith("_")}
        torch.manual_seed(seed)
        start = np.random.default_rng(seed).uniform(4, size - 4, (K, 2)).astype(np.float32)
        builder = trusted(node, "model")
        model = builder(**arguments, num_points=K, input_size=size, mean_points=start)
        for head in (model.head, getattr(model.head, "corrections", None)):
            for key in ("weight", "offsets"):  # answers that depend on the image
                part = getattr(head, key, None)
                part = getattr(part, "weight", part)
                if part is not None:
                    torch.nn.init.normal_(part, std=0.3)
        changes = {"layout": LAYOUT, "flip": [1, 0, 2, 3, 4], **changes}
        changes["metrics"] = {"epoch": 1, "val_mse": 2.0, **changes.get("metrics", {})}
        config = {"model": node, "input_size": size, **dict(settings)}
        run = folder or tmp_path_factory.mktemp("run")
        run.mkdir(parents=True, exist_ok=True)
        weights = model.state_dict()
        save_checkpoint(run / "best.pt", checkpoint_of(config, K, weights=weights, **changes))
        return run

    return make


def is_of(node, name):
    of = node["_target_"].rpartition(".")[2]
    kind = {"regressor": "", "unet": "unet_"}.get(of)
    return name == of if kind is None else name == f"{kind}{node.get('backbone')}"


@pytest.fixture
def photos():
    """Photos of different sizes with structure, (H, W, 3) uint8 BGR."""
    rng, made = np.random.default_rng(3), []
    for width, height in ((60, 80), (97, 64), (33, 120), (300, 211), (16, 16)):
        coarse = rng.integers(0, 255, (-(-height // 8), -(-width // 8), 3))
        made.append(coarse.repeat(8, 0).repeat(8, 1)[:height, :width].astype(np.uint8))
    return made
