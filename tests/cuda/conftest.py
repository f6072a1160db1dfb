"""A GPU for the tests of this folder, and models and batches on it."""

import pytest
import torch
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from landmarks.commands.preparing.config_groups import build
from landmarks.losses import adaptive_wing, l1

SIZE, K = 64, 68


@pytest.fixture(autouse=True)
def gpu():
    """Skip where there is none."""
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")


@pytest.fixture
def cuda():
    """The device; whatever makes the host wait for it is reported as an error on demand."""
    yield torch.device("cuda")
    torch.cuda.set_sync_debug_mode("default")


@pytest.fixture
def make():
    """Build a model of configs/model, of seeded weights."""

    def build_named(name, **changes):
        with initialize_config_module("landmarks.configs", version_base="1.3"):
            node = OmegaConf.to_container(compose("train", overrides=[f"model={name}"]).model)
        node = {key: {"weights": "none", **changes}.get(key, value) for key, value in node.items()}
        torch.manual_seed(0)
        mean = torch.rand(K, 2) * SIZE
        loss = l1 if name in ("resnet18", "mobilenet_v3_large") else adaptive_wing
        return build(node, num_points=K, input_size=SIZE, elementwise=loss, mean_points=mean)

    return build_named


@pytest.fixture
def faces():
    """Draw four images and their points in pinned memory."""

    def draw():
        images = torch.randint(0, 256, (4, 3, SIZE, SIZE), dtype=torch.uint8)
        points = torch.rand(4, K, 2) * SIZE
        points[0, 0] = torch.nan
        images = images.contiguous(memory_format=torch.channels_last)
        return images.pin_memory(), points.pin_memory()

    return draw
