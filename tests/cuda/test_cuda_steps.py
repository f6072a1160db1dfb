"""A training step does not wait for the GPU, and a recorded one is the plain one."""

import copy

import numpy as np
import pytest
import torch

from landmarks.augment.augmentation import Augment
from landmarks.data.batches.cropped_faces import Batch
from landmarks.training.cuda_graphs import record
from landmarks.training.optimizers import adam, adamw, sgd
from landmarks.training.precision import Precision
from landmarks.training.schedules import Cosine
from landmarks.training.training_state import Training
from landmarks.training.training_steps import WARM_UP
from landmarks.training.weight_averaging import Ema

SIZE, K = 64, 68
MODELS = ["resnet18", "unet_resnet18", "unet", "mobilenet_v3_large"]
STRONG = {
    **{"shift": 0.1, "scale": 0.2, "rotate": 20.0, "flip": 0.5, "brightness": 0.3, "gamma": 0.2},
    **{"degrade": 1.0, "blur": 1.0, "noise": 8.0, "blocks": 2.0, "erase": 1.0, "erase_size": 0.3},
}


@pytest.fixture
def in_training(make, faces):
    """Start a training of seeded weights under strong augmentation; return it and one batch."""

    def start(name, cuda, graph, amp="auto", optimizer=adamw, **settings):
        model = make(name).to(cuda, memory_format=torch.channels_last).train()
        training = Training(
            model,
            optimizer(model, lr=1e-4),
            Cosine(),
            Precision(amp, cuda),
            ema=Ema(model, 0.99),
            augment=Augment(**STRONG, input_size=SIZE, permutation=np.arange(K)[::-1].copy()),
            graph=graph,
            total_steps=100,
            **settings,
        )
        images, points = faces()
        none = torch.empty(0)
        return training, Batch(images, points, none, none, none)

    return start


def walk(training, batch, steps):
    """Take so many steps and return the losses, read at the end."""
    losses = []
    for _ in range(steps):
        losses.append(training.backward(batch).clone())
        if training.waiting == training.accumulate:
            training.update()
    return torch.stack(losses).cpu()


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_a_training_step_does_not_wait_for_the_gpu(name, graph, cuda, in_training):
    training, batch = in_training(name, cuda, graph)
    walk(training, batch, WARM_UP + 2)  # all is compiled, tuned, allocated and recorded
    before = [parameter.detach().clone() for parameter in training.model.parameters()]
    torch.cuda.set_sync_debug_mode("error")
    for _ in range(3):
        loss = training.backward(batch)
        training.update()
    torch.cuda.set_sync_debug_mode("default")
    assert loss.isfinite()
    after = training.model.parameters()
    moved = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    assert np.mean(moved) > 0.9


@pytest.mark.parametrize("settings", [{}, {"accumulate": 2, "clip": 0.5}])
@pytest.mark.parametrize("amp", ["bf16", "fp16", "off"])
@pytest.mark.parametrize("name", ["resnet18", "unet_resnet18"])
def test_recorded_steps_are_the_plain_ones(name, amp, settings, cuda, in_training):
    """To within three times of what two plain trainings differ: sums are in no fixed order."""
    found = []
    for graph in (False, False, True):
        training, batch = in_training(name, cuda, graph, amp, **settings)
        losses = walk(training, batch, 12)
        assert not graph or training.steps.replay_update is not None
        found.append(
            (losses, torch.cat([p.detach().flatten() for p in training.model.parameters()]))
        )
    for plain, again, recorded in zip(*found, strict=True):
        noise = (plain - again).norm() + 2e-3 * plain.norm()
        assert (plain - recorded).norm() < 3 * noise


@pytest.mark.parametrize("optimizer", [adam, sgd])
def test_every_optimizer_can_be_recorded(optimizer, cuda, in_training):
    training, batch = in_training("resnet18", cuda, True, optimizer=optimizer)
    losses = walk(training, batch, 12)
    assert losses.isfinite().all() and training.steps.replay_update is not None


def test_a_thawed_backbone_is_recorded_anew(cuda, in_training):
    training, batch = in_training("unet_resnet18", cuda, True)
    training.model.frozen_epochs = 1
    walk(training, batch, WARM_UP + 2)
    still = training.model.backbone.pretrained().state_dict()
    before = {name: value.clone() for name, value in still.items()}
    walk(training, batch, 2)
    assert all(torch.equal(before[name], value) for name, value in still.items())
    training.epoch = 1
    walk(training, batch, WARM_UP + 2)
    assert training.steps.replay_update is not None
    assert not all(torch.equal(before[name], value) for name, value in still.items())


@pytest.mark.parametrize("first", [False, True])
def test_a_run_goes_on_from_recorded_to_plain_and_back(first, cuda, in_training):
    begun, batch = in_training("resnet18", cuda, first)
    walk(begun, batch, 8)
    state = copy.deepcopy(begun.state_dict())
    losses = []
    for graph in (first, not first):
        resumed, _ = in_training("resnet18", cuda, graph)
        resumed.load_state_dict(copy.deepcopy(state))
        losses.append(walk(resumed, batch, 8))
    torch.testing.assert_close(*losses, rtol=0.02, atol=0)


def test_a_captured_augmentation_is_the_eager_one(cuda, faces):
    some = {**STRONG, "degrade": 0.5, "erase": 0.5}
    augment = Augment(**some, input_size=SIZE, permutation=np.arange(K)[::-1].copy())
    (images, points), most = (part.to(cuda) for part in faces()), augment.most(4)
    numbers = torch.from_numpy(augment.draw(4, 0, SIZE).numbers).to(cuda)
    stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        augment.apply(images, points, numbers, most)
    torch.cuda.current_stream().wait_stream(stream)
    with torch.cuda.graph(graph):
        captured = augment.apply(images, points, numbers, most)
    for step in range(8):
        drawn = augment.draw(4, step, SIZE)
        numbers.copy_(torch.from_numpy(drawn.numbers))
        graph.replay()
        same = augment.apply(images, points, numbers, most)
        for replayed, eager in zip(captured, same, strict=True):
            torch.testing.assert_close(replayed, eager, rtol=0, atol=0, equal_nan=True)
        # Products of other shapes round otherwise, and then a quantised wave may be another.
        eager, moved = augment(images, points, step)
        assert (captured[0] - eager).abs().mean() < 0.05
        torch.testing.assert_close(captured[1], moved, equal_nan=True)


def test_a_step_is_not_recorded_without_the_memory_of_two(cuda, monkeypatch, in_training):
    training, batch = in_training("resnet18", cuda, "auto")
    walk(training, batch, WARM_UP)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1 << 20, 1 << 34))
    assert walk(training, batch, 2).isfinite().all()
    assert training.steps.replay_update is None


def test_a_recording_that_fails_leaves_the_device_as_it_was(cuda):
    stream, values = torch.cuda.current_stream(), torch.ones(1000, device=cuda)

    def ask():
        values.add_(1)
        float(values.sum())  # the host waits, which a recording forbids

    with pytest.raises(RuntimeError):
        record(ask, cuda)
    assert torch.cuda.current_stream() == stream
    torch.cuda.empty_cache()  # allocations are not held back for a recording under way
    replay = record(lambda: values.mul_(2), cuda)
    before = values.sum().item()
    replay()
    assert values.sum().item() == 2 * before


def test_memory_that_runs_out_while_recording_is_said_so(cuda):
    total = torch.cuda.get_device_properties(0).total_memory

    def take() -> None:
        torch.empty(2 * total, dtype=torch.uint8, device=cuda)

    with pytest.raises(torch.OutOfMemoryError):
        record(take, cuda)
    assert float(torch.ones((), device=cuda)) == 1  # the device goes on
