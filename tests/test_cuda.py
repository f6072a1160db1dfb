"""What only a GPU can show: no step waits for it, and it finds what the CPU finds."""

import copy
import gc
import sys
import threading

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from landmarks.augment.augmentation import Augment
from landmarks.cli import main as cli
from landmarks.commands.build import build
from landmarks.data.canvas import CanvasFaces, open_canvas
from landmarks.data.cropped import Batch, CroppedFaces
from landmarks.data.device_batches import DeviceBatches
from landmarks.data.formats.thousand import read_faces
from landmarks.data.loader import Batches
from landmarks.devices import ahead_on_device, copy_ahead, fetch
from landmarks.heatmaps.compile import fuse_loss
from landmarks.heatmaps.loss import heatmap_loss, pointwise
from landmarks.heatmaps.peaks import pool_rows, search_cells
from landmarks.losses import adaptive_wing, l1
from landmarks.runs.checkpoint import load_checkpoint
from landmarks.training.ema import Ema
from landmarks.training.forward import RecordedForward
from landmarks.training.graphs import record
from landmarks.training.optimizers import adam, adamw, sgd
from landmarks.training.precision import Precision
from landmarks.training.schedules import Cosine
from landmarks.training.state import Training
from landmarks.training.steps import WARM_UP
from landmarks.training.validation import predict_ahead

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
SIZE, K = 64, 68
MODELS = ["resnet18", "unet_resnet18", "unet", "mobilenet_v3_large"]
TINY = (
    "input_size=32 batch_size=4 epochs=2 workers=0 report=false split.share=0.25 device=cuda "
    "run_dir=run".split()
)


@pytest.fixture
def cuda():
    """The device; whatever makes the host wait for it is reported as an error on demand."""
    yield torch.device("cuda")
    torch.cuda.set_sync_debug_mode("default")


def make(name, **changes):
    with initialize_config_module("landmarks.configs", version_base="1.3"):
        node = OmegaConf.to_container(compose("train", overrides=[f"model={name}"]).model)
    node = {key: {"weights": "none", **changes}.get(key, value) for key, value in node.items()}
    torch.manual_seed(0)
    mean = torch.rand(K, 2) * SIZE
    loss = l1 if name in ("resnet18", "mobilenet_v3_large") else adaptive_wing
    return build(node, num_points=K, input_size=SIZE, elementwise=loss, mean_points=mean)


def faces():
    images = torch.randint(0, 256, (4, 3, SIZE, SIZE), dtype=torch.uint8)
    points = torch.rand(4, K, 2) * SIZE
    points[0, 0] = torch.nan
    return images.contiguous(memory_format=torch.channels_last).pin_memory(), points.pin_memory()


STRONG = {
    **{"shift": 0.1, "scale": 0.2, "rotate": 20.0, "flip": 0.5, "brightness": 0.3, "gamma": 0.2},
    **{"degrade": 1.0, "blur": 1.0, "noise": 8.0, "blocks": 2.0, "erase": 1.0, "erase_size": 0.3},
}


def in_training(name, cuda, graph, amp="auto", optimizer=adamw, **settings):
    """Return a training of seeded weights under strong augmentation, and one batch."""
    model = make(name).to(cuda, memory_format=torch.channels_last).train()
    training = Training(
        *(model, optimizer(model, lr=1e-4), Cosine(), Precision(amp, cuda)),
        ema=Ema(model, 0.99),
        augment=Augment(**STRONG, input_size=SIZE, permutation=np.arange(K)[::-1].copy()),
        graph=graph,
        total_steps=100,
        **settings,
    )
    images, points = faces()
    none = torch.empty(0)
    return training, Batch(images, points, none, none, none)


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
def test_a_training_step_does_not_wait_for_the_gpu(name, graph, cuda):
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
def test_recorded_steps_are_the_plain_ones(name, amp, settings, cuda):
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
def test_every_optimizer_can_be_recorded(optimizer, cuda):
    training, batch = in_training("resnet18", cuda, True, optimizer=optimizer)
    losses = walk(training, batch, 12)
    assert losses.isfinite().all() and training.steps.replay_update is not None


def test_a_thawed_backbone_is_recorded_anew(cuda):
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
def test_a_run_goes_on_from_recorded_to_plain_and_back(first, cuda):
    begun, batch = in_training("resnet18", cuda, first)
    walk(begun, batch, 8)
    state = copy.deepcopy(begun.state_dict())
    losses = []
    for graph in (first, not first):
        resumed, _ = in_training("resnet18", cuda, graph)
        resumed.load_state_dict(copy.deepcopy(state))
        losses.append(walk(resumed, batch, 8))
    torch.testing.assert_close(*losses, rtol=0.02, atol=0)


def test_a_captured_augmentation_is_the_eager_one(cuda):
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


@pytest.mark.parametrize("name", MODELS)
def test_it_finds_what_the_cpu_finds(name, cuda):
    model, (images, points) = make(name, fuse=False), faces()
    for parameter in model.head.parameters():  # as after some training: heads may start at zero
        torch.nn.init.normal_(parameter, std=0.02)
    model.eval()
    with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        wanted, loss = model(images)[0], model(images, points)
        model = model.to(cuda, memory_format=torch.channels_last)
        found, again = model(images.to(cuda))[0], model(images.to(cuda), points.to(cuda))
    torch.testing.assert_close(again.cpu(), loss, rtol=1e-4, atol=1e-5)
    # Maps of random weights have maxima of almost one height, of which rounding may take another.
    near = (found.cpu() - wanted).abs().amax(2) < 0.05
    assert near.float().mean() > 0.98


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_compiled_heatmap_loss_is_the_eager_one(dtype, cuda):
    torch.manual_seed(0)
    features = torch.randn(3, 16, 32, 32, device=cuda).to(memory_format=torch.channels_last)
    weight, bias = torch.randn(K, 16, device=cuda) / 8, torch.zeros(K, device=cuda)
    centres, sigma = torch.rand(3, K, 2, device=cuda) * 40 - 4, torch.tensor(1.5, device=cuda)
    found = []
    for fuse in (False, True):
        function = fuse_loss(pointwise(adaptive_wing, 10.0), fuse)
        leaves = [part.clone().requires_grad_() for part in (features, weight, bias)]
        with torch.autocast("cuda", dtype, enabled=dtype != torch.float32):
            loss = heatmap_loss(*leaves, centres, sigma, function, 40)
        loss.backward()
        found.append([loss.detach(), *(leaf.grad for leaf in leaves)])
    close = {"rtol": 1e-4, "atol": 1e-6} if dtype == torch.float32 else {"rtol": 0.02, "atol": 1e-4}
    for eager, compiled in zip(*found, strict=True):
        torch.testing.assert_close(compiled, eager, **close)


@pytest.mark.parametrize("amp", ["bf16", "fp16", "off"])
@pytest.mark.parametrize("model", ["resnet18", "unet_resnet18"])
def test_a_run_from_photos_to_points(amp, model, contest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["landmarks"])
    made = contest(train=12, test=5)
    settings = [f"data.root={made.root}", f"model={model}", "model.weights=none", f"amp={amp}"]
    assert cli.main(["train", *settings, *TINY]) == 0
    history = load_checkpoint(tmp_path / "run/last.pt").training["history"]
    assert len(history) == 2 and np.isfinite(history[-1]["val_mse"])
    images = f"input={made.root / 'test/images'}"
    at = ["predict", "checkpoint=run", images, "npz=true", "amp=off"]
    points = {}
    for device in ("cuda", "cpu"):
        assert cli.main([*at, f"device={device}", f"run_dir={device}"]) == 0
        with np.load(tmp_path / device / "predictions.npz") as stored:
            points[device] = stored["points"]
    assert np.median(np.abs(points["cuda"] - points["cpu"])) < 0.1


@pytest.mark.parametrize("graph", ["true", "false"])
def test_memory_that_runs_out_ends_in_advice(graph, contest, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["landmarks"])
    made = contest(train=12)
    gc.collect()  # what earlier tests hold in cycles would be counted
    torch.cuda.empty_cache()
    room = torch.cuda.memory_reserved() + 300e6
    share = room / torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(share)
    try:
        settings = [*TINY, "model=unet", "input_size=256", "batch_size=8", f"graph={graph}"]
        assert cli.main(["train", f"data.root={made.root}", *settings]) != 0
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    said = capsys.readouterr()
    assert "batch_size=4 accumulate=2" in said.out + said.err


def test_a_step_is_not_recorded_without_the_memory_of_two(cuda, monkeypatch):
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


@pytest.fixture
def loaders(contest):
    """Make batches of 4 of 30 faces that lie on the host, pinned, as often as asked."""
    source = CroppedFaces(read_faces(str(contest(train=30).root)), "center", SIZE, 8)

    def load(**settings):
        return Batches(source, np.arange(29), batch_size=4, pin_memory=True, **settings)

    return load


def same(one, other):
    return all(
        torch.equal(a.cpu().nan_to_num(-1), b.cpu().nan_to_num(-1))
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("seed", [None, 3])
def test_batches_kept_on_the_gpu_are_those_of_the_host(seed, loaders, cuda):
    host, there = loaders(seed=seed), DeviceBatches(loaders(seed=seed), cuda)
    for epoch, first in ((0, 0), (1, 2)):
        for batches in (host, there):
            batches.start_at(epoch, first)
        wanted, found = list(host), list(there)
        assert len(found) == len(wanted) > 0 and all(map(same, found, wanted))
        for batch in found:
            assert batch.images.is_cuda and batch.points.is_cuda and batch.to_image.is_cuda
            assert not batch.rows.is_cuda and not batch.readable.is_cuda
            assert batch.images.is_contiguous(memory_format=torch.channels_last)


def test_batches_kept_on_the_gpu_are_gathered_without_waiting(loaders, cuda):
    there = DeviceBatches(loaders(seed=0), cuda)
    images = torch.empty(4, 3, SIZE + 16, SIZE + 16, dtype=torch.uint8, device=cuda)
    images = images.to(memory_format=torch.channels_last)
    out = images, torch.empty(4, 5, 2, device=cuda), torch.empty(4, 2, 3, device=cuda)
    torch.cuda.set_sync_debug_mode("error")
    for epoch in range(3):
        there.start_at(epoch)
        assert len(list(ahead_on_device(there, cuda))) == len(there)
        there.start_at(epoch)
        assert len(list(there.iterate(out))) == len(there)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_copied_ahead_come_whole_and_in_order(workers, loaders, cuda):
    wanted = list(loaders(seed=1))
    busy = torch.randn(4096, 4096, device=cuda)
    sums = []
    found = ahead_on_device(loaders(seed=1, workers=workers), cuda)
    torch.cuda.set_sync_debug_mode("error")
    for batch in found:
        assert batch.images.is_cuda and batch.points.is_cuda
        for _ in range(5):  # the device falls behind the host, which copies on
            busy = torch.sin(busy @ busy)
        points = batch.points.nan_to_num(0)
        sums.append((batch.images.double().sum(), points.double().sum(), batch.rows))
        del batch
    torch.cuda.set_sync_debug_mode("default")
    assert len(sums) == len(wanted)
    for (images, points, rows), batch in zip(sums, wanted, strict=True):
        assert torch.equal(rows, batch.rows)
        assert images == batch.images.double().sum()
        assert points.item() == pytest.approx(batch.points.nan_to_num(0).double().sum().item())


def test_a_canvas_is_gathered_and_pinned_beside_the_training(contest, monkeypatch):
    faces, threads = read_faces(str(contest(train=12).root), cache="ram"), set()
    source = CanvasFaces(faces, open_canvas(faces, "stretch", SIZE), SIZE)
    pin = torch.Tensor.pin_memory

    def noted(tensor, *given):
        threads.add(threading.current_thread())
        return pin(tensor, *given)

    monkeypatch.setattr(torch.Tensor, "pin_memory", noted)
    made = Batches(source, np.arange(12), batch_size=4, workers=2, pin_memory=True)
    assert all(batch.images.is_pinned() for batch in made)
    assert threads and threading.main_thread() not in threads


def test_a_batch_copied_ahead_comes_with_its_own_on_the_host(loaders, cuda):
    for batch, moved in copy_ahead(loaders(), cuda):
        assert not batch.images.is_cuda and moved.images.is_cuda and same(batch, moved)


@pytest.mark.parametrize("cache", ["device", "auto"])
def test_a_run_from_the_gpu_is_the_run_from_memory(cache, contest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["landmarks"])
    made = contest(train=16)
    first = []
    for name in ("ram", cache):
        settings = [f"data.root={made.root}", "model=resnet18", "model.weights=none", "amp=off"]
        settings += [*TINY, f"data.cache={name}", f"run_dir={name}"]
        assert cli.main(["train", *settings]) == 0
        history = load_checkpoint(tmp_path / name / "last.pt").training["history"]
        first.append(history[0]["train_loss"])
    assert first[1] == pytest.approx(first[0], rel=1e-3)


def prediction_batches(count, size=SIZE, last=3):
    """Batches of 4 faces in pinned memory, the last one smaller, by `Batch`'s names."""
    random = torch.Generator().manual_seed(0)
    batches = []
    for i in range(count):
        faces = last if i == count - 1 else 4
        images = torch.randint(
            0, 256, (faces, 3, size, size), generator=random, dtype=torch.uint8
        ).contiguous(memory_format=torch.channels_last)
        points = torch.rand(faces, K, 2, generator=random) * size
        to_image = torch.eye(2, 3).repeat(faces, 1, 1)
        rows, readable = torch.arange(faces), torch.ones(faces, dtype=torch.bool)
        pinned = (part.pin_memory() for part in (images, points, to_image))
        batches.append(Batch(*pinned, rows, readable))
    return batches


def predictor_of(name, cuda, amp="off"):
    model = make(name).to(cuda, memory_format=torch.channels_last).eval()
    for parameter in model.head.parameters():  # heads may start at zero
        torch.nn.init.normal_(parameter, std=0.05)
    return model, Precision(amp, cuda)


@pytest.mark.parametrize("amp", ["off", "bf16"])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("name", MODELS)
@torch.backends.cudnn.flags(enabled=True, allow_tf32=False)  # 10 bits are 0.1 px of random heads
def test_recorded_prediction_is_eager_prediction(name, flip, amp, cuda):
    """Also with a smaller last batch, and with weights that change in place or are other ones."""
    model, precision = predictor_of(name, cuda, amp)
    model.flip = torch.arange(K, device=cuda).flip(0) if flip else None
    batches, forward = prediction_batches(6), RecordedForward(precision)
    for change in ("none", "in place", "other"):
        if change == "in place":
            for parameter in model.parameters():
                parameter.data.mul_(1.1)
        elif change == "other":
            other = predictor_of(name, cuda)[0].state_dict()
            model.load_state_dict(other, assign=True)
        eager = list(predict_ahead(model, batches, precision))
        found = list(predict_ahead(model, batches, precision, forward))
        assert forward.replay is not None and len(found) == len(eager) == 6
        for (_, points, sure), (_, wanted, other) in zip(found, eager, strict=True):
            assert points.shape == wanted.shape and np.isfinite(points).all()
            # Another algorithm may round otherwise, and then another of two like cells be largest.
            assert (np.abs(points - wanted).max(2) < 0.05).mean() > 0.98
            np.testing.assert_allclose(sure, other, atol=0.02)


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_prediction_does_not_wait_for_the_gpu(name, recorded, cuda):
    model, precision = predictor_of(name, cuda, "auto")
    forward = RecordedForward(precision) if recorded else None
    batches = prediction_batches(9)
    list(predict_ahead(model, batches, precision, forward))  # tuned, recorded and allocated
    torch.cuda.set_sync_debug_mode("error")
    found = list(predict_ahead(model, batches, precision, forward))
    torch.cuda.set_sync_debug_mode("default")
    assert len(found) == 9 and all(np.isfinite(points).all() for _, points, _ in found)


def test_results_are_fetched_into_pinned_memory(cuda):
    values = [torch.rand(3, 5, 2, device=cuda), torch.rand(3, 5, device=cuda)]
    torch.cuda.set_sync_debug_mode("error")
    found = fetch(values)()
    torch.cuda.set_sync_debug_mode("default")
    assert all(value.is_pinned() for value in found)
    assert all(torch.equal(a, b.cpu()) for a, b in zip(found, values, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_all_ways_to_search_a_peak_agree(dtype, cuda):
    """The first of several largest cells; NaN where a cell is NaN."""
    random = torch.Generator().manual_seed(0)
    maps = torch.randint(-3, 30, (3, 32, 20, 150), generator=random).to(dtype) / 8
    maps = maps.permute(0, 3, 1, 2)
    maps[0, 3, 4, 5] = maps[1, 2] = torch.nan
    wanted = pool_rows(maps)
    number = ~wanted[0].isnan()
    for search in (pool_rows, search_cells):
        peak, cell = (found.cpu() for found in search(maps.to(cuda)))
        assert torch.equal(peak[number], wanted[0][number]) and peak[~number].isnan().all()
        assert torch.equal(cell[number], wanted[1][number])


def test_memory_that_runs_out_while_recording_is_said_so(cuda):
    total = torch.cuda.get_device_properties(0).total_memory

    def take() -> None:
        torch.empty(2 * total, dtype=torch.uint8, device=cuda)

    with pytest.raises(torch.OutOfMemoryError):
        record(take, cuda)
    assert float(torch.ones((), device=cuda)) == 1  # the device goes on
