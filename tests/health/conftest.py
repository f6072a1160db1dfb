from types import SimpleNamespace

import numpy as np
import pytest


@pytest.fixture(scope="session")
def synthetic(drawn):
    """200 synthetic faces on disk: their folder, names and points (N, 971, 2)."""
    rows = [line.split("\t") for line in (drawn / "train/landmarks.csv").read_text().splitlines()]
    return SimpleNamespace(
        root=drawn,
        header=rows[0],
        names=[row[0] for row in rows[1:]],
        points=np.array([row[1:] for row in rows[1:]], np.float32).reshape(200, -1, 2),
    )
