"""A small judgement with images, and a browser that looks at pages."""

import cv2
import numpy as np
import pytest

from landmarks.data.faces import Faces
from landmarks.evaluation.face_errors import in_blocks, measure
from landmarks.evaluation.write_evaluation import Judgement
from landmarks.layout import Layout

LAYOUT = Layout(
    "ours",
    12,
    eyes=[0, 3],
    regions={"eyes": [0, 3], "nose": [4, 6], "mouth": [7, 11]},
)


@pytest.fixture
def judged(tmp_path):
    """Return a function that judges 60 faces: `wrong` pixels beside their labels, with a seed."""
    rng = np.random.default_rng(0)
    shape = rng.uniform(-30, 30, (12, 2))
    truth = (shape * rng.uniform(0.6, 1.4, (60, 1, 1)) + rng.uniform(60, 100, (60, 1, 2))).astype(
        np.float32
    )
    names = np.array([b"face <%d> & 'co'.png" % i for i in range(60)])  # no name may break the page
    for i, name in enumerate(names):
        image = rng.integers(0, 60 + 3 * i, (160, 150, 3)).astype(np.uint8)
        cv2.imwrite(str(tmp_path / name.decode()), image)
    faces = Faces(tmp_path, names, truth, source="labels.csv")

    def judge(wrong=2.0, seed=0, confidence=True):
        own = np.random.default_rng(seed)
        spread = own.gamma(2, 0.5, (60, 1, 1))
        predicted = (truth + own.normal(0, wrong, truth.shape) * spread).astype(np.float32)
        at = np.arange(60)
        sure = np.exp(-spread[:, :, 0].repeat(12, axis=1)).astype(np.float32)
        blocks = (
            (block[0], block[1], sure[at] if confidence else None)
            for block in in_blocks(predicted, truth, at, at)
        )
        errors = measure(blocks, names, at, 12, LAYOUT.eyes)
        origin = {"data": {"source": "labels.csv", "split": "val", "faces_trained_on": 0}}
        origin["checkpoint"] = {"path": "runs/a/best.pt", "sha256": "0" * 64}
        origin["checkpoint"] |= {"model": "resnet18, epoch 3", "epoch": 3, "flip_test": True}
        origin["baselines"] = {"mean_shape": 90.0, "mean_shape_nme": 0.2}
        return Judgement(
            faces,
            errors,
            predicted,
            at,
            LAYOUT,
            groups=at // 3,
            grouping="blocks of 3 neighbouring rows",
            columns={"glasses": ["yes" if i % 3 else "no" for i in range(60)]},
            origin=origin,
            mean_shape=errors.nme * 4,
        )

    return judge
