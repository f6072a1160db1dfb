"""The model that benchmarks run: its speed does not depend on its weights."""

import numpy as np
import torch

from landmarks.losses import l1
from landmarks.models.landmarker import Landmarker, regressor

BACKBONE, NUM_POINTS, SIZE = "resnet18", 971, 128


def random_model(num_points: int = NUM_POINTS) -> Landmarker:
    """Return a model with random weights."""
    torch.manual_seed(0)
    centre = np.full((num_points, 2), (SIZE - 1) / 2, np.float32)
    return regressor(
        backbone=BACKBONE,
        weights="none",
        num_points=num_points,
        size=SIZE,
        elementwise=l1,
        mean_points=centre,
    )
