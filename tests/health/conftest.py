from types import SimpleNamespace

import numpy as np
import pytest

from landmarks.synthetic.write import write_faces


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory):
    """200 synthetic faces on disk: their folder, names and points (N, 971, 2)."""
    root = tmp_path_factory.mktemp("synthetic")
    write_faces(root, 200, 6, 0)
    rows = [line.split("\t") for line in (root / "train/landmarks.csv").read_text().splitlines()]
    return SimpleNamespace(
        root=root,
        header=rows[0],
        names=[row[0] for row in rows[1:]],
        points=np.array([row[1:] for row in rows[1:]], np.float32).reshape(200, -1, 2),
    )
