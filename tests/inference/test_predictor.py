"""A checkpoint opened for use, by itself: no command, no settings but its own."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from refusals import refused

from landmarks.commands.preparing.config_groups import nodes_of
from landmarks.data.formats.thousand import read_faces
from landmarks.inference.finder_protocol import Framing
from landmarks.inference.predictor import Predictor
from landmarks.runs.checkpoint import save_checkpoint
from landmarks.runs.config_targets import trusted

K = 5


@pytest.fixture(scope="module")
def checkpoint(checkpoint_of):
    """A regression at fixed points of its input: 0, 0 and 10, 20 and on the other side 31, 0."""
    node = next(dict(node) for node in nodes_of("model") if node.get("backbone") == "resnet18")
    node |= {"weights": "none", "refine": 0}
    arguments = {key: node[key] for key in node if not key.startswith("_")}
    torch.manual_seed(0)
    model = trusted(node, "model")(**arguments, num_points=K, input_size=32)
    weights = model.state_dict()
    weights["head.start"] = torch.tensor([[0.0, 0], [31, 0], [10, 20], [15.5, 15.5], [4, 8]])
    weights["head.offsets.weight"].zero_()
    weights["head.offsets.bias"].zero_()
    return checkpoint_of({"model": node}, K, flip=[1, 0, 2, 3, 4], weights=weights)


@pytest.fixture
def opened(checkpoint, tmp_path):
    """Open it, changed by what is named."""

    def opened(settings=(), /, **changes):
        changed = replace(checkpoint, config={**checkpoint.config, **dict(settings)})
        save_checkpoint(tmp_path / "a.pt", replace(changed, **changes))
        return lambda **asked: Predictor(tmp_path / "a.pt", device="cpu", amp="off", **asked)

    return opened


def points_of(predictor, faces, **asked):
    found = list(predictor.predict(predictor.batches(faces, Framing(workers=0, **asked))))
    return np.concatenate([points for _, points, _ in found]), [
        len(points) for _, points, _ in found
    ]


def test_points_are_in_original_pixels_and_confidence_comes_along(opened, contest):
    made = contest(test=5)
    predictor = opened({"crop": "stretch"}, unlabelled=[3])()
    assert (predictor.num_points, predictor.input_size, predictor.unlabelled) == (K, 32, [3])
    assert predictor.layout.name == "none" and predictor.device.type == "cpu"
    faces = read_faces(str(made.root), part="test")
    points, sizes = points_of(predictor, faces, batch_size=2)
    assert points.shape == (5, K, 2) and points.dtype == np.float32 and sizes == [2, 2, 1]
    width, height = 60, 80  # the first face's
    expected = (np.array([[0, 0], [31, 0], [10, 20]]) + 0.5) * [width / 32, height / 32] - 0.5
    np.testing.assert_allclose(points[0, :3], expected, atol=1e-3)
    for batch, points, confidence in predictor.predict(
        predictor.batches(faces, Framing(batch_size=5))
    ):
        assert confidence.shape == points.shape[:2] == (len(batch.rows), K)


def test_mirror_images_are_looked_at_as_in_training_or_as_asked(opened):
    opener = opened({"flip_test": True})
    assert opener().model.flip.tolist() == [1, 0, 2, 3, 4]
    assert opener(flip_test=False).model.flip is None
    with refused("flip_test=true"):
        opened(flip=None)(flip_test=True)


def test_what_a_checkpoint_says_of_itself_is_checked(opened):
    for changes, named in (
        ({"num_points": 7}, ("head.offsets.bias", 2 * K, 2 * 7)),
        ({"flip": [9] * K}, ("flip", K)),
        ({"layout": {}}, ("layout", K)),
        ({"unlabelled": [K]}, ("unlabelled", K)),
    ):
        with refused(*named):
            opened(**changes)()
    with refused("decoder=dark"):
        opened()(decoder="dark")


def test_it_says_what_it_is(opened):
    assert opened()().description == "resnet18, 5 points"
    metrics = {"epoch": 3, "val_mse": 2.5}
    assert opened(metrics=metrics)().description == (
        "resnet18, epoch 3, validation MSE 2.500 px², 5 points"
    )


def test_it_knows_nothing_of_hydra():
    code = "import sys, landmarks.inference.predictor; print('hydra' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
