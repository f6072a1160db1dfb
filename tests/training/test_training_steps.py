"""The recorded step against the plain one: where nothing is recorded, a replay is a call."""

import copy
import logging

import numpy as np
import pytest
import torch
from torch import nn

from landmarks.augment.augmentation import Augment
from landmarks.data.batches.cropped_faces import Batch
from landmarks.losses import l1
from landmarks.models.heads import RegressionHead
from landmarks.models.landmarker import Landmarker
from landmarks.models.model_protocols import Backbone
from landmarks.training import training_steps as steps_module
from landmarks.training.optimizers import adam, adamw, sgd
from landmarks.training.precision import Precision
from landmarks.training.schedules import Constant, Schedule
from landmarks.training.training_state import Training
from landmarks.training.training_steps import WARM_UP
from landmarks.training.weight_averaging import Ema

SIZE, K = 32, 5
STRONG = {
    **{"shift": 0.1, "scale": 0.2, "rotate": 20.0, "flip": 0.5, "brightness": 0.3, "gamma": 0.2},
    **{"degrade": 0.3, "blur": 1.0, "noise": 8.0, "blocks": 2.0, "erase": 0.3, "erase_size": 0.3},
}
CPU = torch.device("cpu")


class Tiny(Backbone):
    """One convolution and one norm."""

    channels, strides, mean, std = [8], [4], (0.5,) * 3, (0.2,) * 3

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 5, 4, 2), nn.BatchNorm2d(8), nn.ReLU())

    def forward(self, images):
        return [self.layers(images)]


def batches(count, faces=4):
    random = torch.Generator().manual_seed(1)
    for _ in range(count):
        pixels = torch.randint(0, 256, (faces, SIZE, SIZE, 3), generator=random, dtype=torch.uint8)
        points = SIZE * torch.rand(faces, K, 2, generator=random)
        points[0, 1] = torch.nan
        yield Batch(
            pixels.permute(0, 3, 1, 2),
            points,
            torch.eye(2, 3).repeat(faces, 1, 1),
            torch.arange(faces),
            torch.ones(faces, dtype=torch.bool),
        )


def in_training(graph, optimizer=adamw, schedule=None, freeze="none", augment=True, **settings):
    torch.manual_seed(0)
    start = torch.full((K, 2), SIZE / 2)
    model = Landmarker(Tiny(), RegressionHead(8, K, SIZE, l1, start), freeze)
    changed = Augment(**STRONG, input_size=SIZE, permutation=np.arange(K)[::-1].copy())
    return Training(
        model,
        optimizer(model, lr=2**-10),
        schedule or Constant(),
        Precision("off", CPU),
        ema=Ema(model, 0.9),
        augment=changed if augment else None,
        graph=graph,
        total_steps=40,
        **settings,
    )


def walk(training, count, group=1, epochs=1):
    """Train so many batches, `group` an update, and return the losses."""
    losses = []
    for epoch in range(epochs):
        training.epoch = epoch
        training.model.train()
        for done, batch in enumerate(batches(count), start=1):
            losses.append(training.backward(batch).item())
            if done % group == 0 or done == count:
                training.update()
    return losses


def assert_same(one, two):
    for (name, a), b in zip(
        one.model.state_dict().items(), two.model.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
    for a, b in zip(one.ema.model.parameters(), two.ema.model.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("optimizer", [adamw, adam, sgd])
@pytest.mark.parametrize("clip", [None, 0.5])
def test_a_recorded_step_is_the_step(optimizer, clip):
    ways = [in_training(graph, optimizer, clip=clip) for graph in (False, True)]
    losses = [walk(way, WARM_UP + 4) for way in ways]
    assert ways[1].steps.replay_update is not None
    assert losses[0] == losses[1]
    assert_same(*ways)


def test_a_recorded_step_adds_up_the_gradients_of_a_group():
    """In two groups of three and a rest of two, as at the end of an epoch."""
    ways = [in_training(graph, accumulate=3, clip=0.5) for graph in (False, True)]
    losses = [walk(way, 8, group=3, epochs=3) for way in ways]
    assert ways[1].steps.replay_update is not None
    np.testing.assert_allclose(*losses, rtol=2e-4)
    for a, b in zip(ways[0].model.parameters(), ways[1].model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


class Halved(Schedule):
    """Rates that float32, in which a recorded step has them, holds exactly."""

    def __call__(self, progress):
        return 2.0 ** -round(20 * progress)


def test_rates_that_change_reach_a_recorded_step():
    ways = [in_training(graph, schedule=Halved()) for graph in (False, True)]
    losses = [walk(way, 12) for way in ways]
    assert losses[0] == losses[1] and ways[0].rate == ways[1].rate < 2**-12
    assert_same(*ways)


def test_it_is_recorded_anew_when_the_backbone_thaws():
    ways = [in_training(graph, freeze=1) for graph in (False, True)]
    losses = [walk(way, WARM_UP + 2, epochs=2) for way in ways]
    assert losses[0] == losses[1]
    assert_same(*ways)


def test_a_smaller_batch_goes_its_own_way():
    ways = [in_training(graph) for graph in (False, True)]
    for way in ways:
        walk(way, WARM_UP + 1)
        way.backward(next(batches(1, faces=3)))
        way.update()
        walk(way, 2)
    assert_same(*ways)


def test_a_smaller_batch_within_a_group_adds_to_its_gradient():
    ways = [in_training(graph, accumulate=2) for graph in (False, True)]
    for way in ways:
        walk(way, 2 * WARM_UP + 2, group=2)
        for batch in (*batches(1), *batches(1, faces=3)):
            way.backward(batch)
        way.update()
    for a, b in zip(*(way.model.parameters() for way in ways), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_an_optimizer_whose_state_is_replaced_is_recorded_anew():
    """A recording goes on with the tensors of the state before."""
    ways = [in_training(graph) for graph in (False, True)]
    for way in ways:
        walk(way, WARM_UP)
        state = copy.deepcopy(way.state_dict())
        walk(way, WARM_UP + 2)
        way.load_state_dict(state)
    steps = ways[1].steps
    before = steps.replay_update
    assert before is not None
    for way in ways:
        walk(way, 1)
    assert steps.replay_update is None
    for way in ways:
        walk(way, WARM_UP + 1)
    assert steps.replay_update is not None
    assert_same(*ways)


def test_the_rate_of_the_last_batch_comes_back():
    """A run that was stopped before an epoch's validation logs it."""
    begun = in_training(True, schedule=Halved())
    walk(begun, 5)
    resumed = in_training(True, schedule=Halved())
    resumed.load_state_dict(copy.deepcopy(begun.state_dict()))
    assert resumed.rate == begun.rate < 2**-10
    groups = resumed.state_dict()["optimizer"]["param_groups"]
    assert [group["lr"] for group in groups] == begun.rates


@pytest.mark.parametrize("first", [False, True])
def test_a_run_goes_on_from_recorded_to_plain_and_back(first):
    whole = in_training(False)
    walk(whole, WARM_UP + 3, epochs=2)
    begun = in_training(first)
    walk(begun, WARM_UP + 3)
    state = copy.deepcopy(begun.state_dict())
    groups = state["optimizer"]["param_groups"]
    assert all(isinstance(group["lr"], float) for group in groups)
    resumed = in_training(not first)
    resumed.load_state_dict(state)
    walk(resumed, WARM_UP + 3)
    assert_same(whole, resumed)


@pytest.fixture
def refusing(monkeypatch):
    """A device on which nothing can be recorded."""

    def refuse(function, device, pool=None):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(steps_module, "record", refuse)


def test_what_cannot_be_recorded_is_launched_piece_by_piece(refusing, caplog):
    ways = [in_training(graph) for graph in (False, "auto")]
    with caplog.at_level(logging.WARNING):
        for way in ways:
            walk(way, WARM_UP + 4)
    assert len(caplog.records) == 1 and "graph=false" in caplog.text
    assert_same(*ways)


def test_without_the_memory_of_two_steps_nothing_is_recorded(monkeypatch, caplog):
    monkeypatch.setattr(steps_module, "has_room", lambda device, times: times < 2)
    ways = [in_training(graph) for graph in (False, "auto")]
    for way in ways:
        walk(way, WARM_UP + 4)
    assert ways[1].steps.replay_update is None and "memory" in caplog.text
    assert_same(*ways)


def test_what_must_be_recorded_and_cannot_is_an_error(refusing):
    with pytest.raises(RuntimeError, match="not permitted"):
        walk(in_training(True), WARM_UP + 1)


def test_no_memory_for_the_recording_is_out_of_memory(monkeypatch):
    def fill(function, device, pool=None):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(steps_module, "record", fill)
    with pytest.raises(torch.OutOfMemoryError):
        walk(in_training("auto"), WARM_UP + 1)
