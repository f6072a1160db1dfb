"""The chunked loss against plain autograd over whole maps, for every loss and number format."""

import functools

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from landmarks import losses
from landmarks.heatmaps.heatmap_loss import (
    choose_tile,
    dilate,
    heatmap_loss,
    pointwise,
    profile,
    to_cells,
    to_pixels,
)
from landmarks.models.heatmap_head import HeatmapHead

LOSSES = [losses.mse, losses.l1, losses.wing, losses.smooth_l1, losses.adaptive_wing]
B, C, K, H, W = 3, 8, 13, 12, 16
SIGMA = torch.tensor(1.5)


def example(seed=0, batch=B):
    random = torch.Generator().manual_seed(seed)
    features = torch.randn(batch, C, H, W, generator=random)
    features = features.contiguous(memory_format=torch.channels_last).requires_grad_()
    weight = (0.1 * torch.randn(K, C, generator=random)).requires_grad_()
    bias = (0.1 * torch.randn(K, generator=random)).requires_grad_()
    centres = torch.rand(batch, K, 2, generator=random) * torch.tensor([W - 1.0, H - 1.0])
    return features, weight, bias, centres


def plain(elementwise, features, weight, bias, centres, extra=10.0):
    """The same, as the papers say it: whole maps, whole targets, autograd."""
    maps = torch.einsum("bchw,kc->bkhw", features, weight) + bias.view(1, -1, 1, 1)
    row, column = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    x, y = centres[..., 0, None, None], centres[..., 1, None, None]
    target = torch.exp(-((column - x) ** 2 + (row - y) ** 2) / (2 * SIGMA**2))
    inside = (x > -0.5) & (x < W - 0.5) & (y > -0.5) & (y < H - 0.5)
    target = torch.where(inside, target, torch.zeros(()))
    near = torch.nn.functional.max_pool2d(target, 3, 1, 1) >= 0.2
    values = elementwise(maps, target) * (1 + extra * near) * inside
    return values.sum() / (inside.sum() * H * W)


def gradients(loss, *tensors):
    return torch.autograd.grad(loss, tensors)


def assert_same_gradients(found, wanted, *inputs):
    for ours, theirs in zip(gradients(found, *inputs), gradients(wanted, *inputs), strict=True):
        assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


@pytest.mark.parametrize("elementwise", LOSSES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("chunk", [None, 1, 5, 13, 100])
def test_equals_plain_autograd(elementwise, chunk):
    features, weight, bias, centres = example()
    centres[0, 2] = torch.nan
    centres[1, 3, 0] = -0.6
    centres[1, 4, 1] = H + 3.0
    wanted = plain(elementwise, features, weight, bias, centres)
    found = heatmap_loss(
        features, weight, bias, centres, SIGMA, pointwise(elementwise, 10.0), chunk
    )
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=0)
    assert_same_gradients(found, wanted, features, weight, bias)


def test_features_in_any_memory_format_get_their_gradient():
    features, weight, bias, centres = example()
    plane = features.detach().contiguous().requires_grad_()
    found = [
        gradients(
            heatmap_loss(each, weight, bias, centres, SIGMA, pointwise(losses.mse, 1.0)), each
        )
        for each in (features, plane)
    ]
    torch.testing.assert_close(found[0], found[1])
    assert found[1][0].abs().max() > 0


def test_gradient_is_scaled_by_what_comes_after():
    features, weight, bias, centres = example()
    function = pointwise(losses.mse, 0.0)
    once = gradients(heatmap_loss(features, weight, bias, centres, SIGMA, function), weight)[0]
    many = gradients(1024 * heatmap_loss(features, weight, bias, centres, SIGMA, function), weight)[
        0
    ]
    assert torch.equal(1024 * once, many)


def test_nothing_labelled_is_zero_loss_and_gradient():
    features, weight, bias, centres = example()
    function = pointwise(losses.adaptive_wing, 10.0)
    loss = heatmap_loss(features, weight, bias, centres * torch.nan, SIGMA, function)
    assert loss == 0
    assert all((g == 0).all() for g in gradients(loss, features, weight, bias))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_the_loss_is_float32_and_gradients_fit(dtype):
    features, weight, bias, centres = example()
    function = pointwise(losses.adaptive_wing, 10.0)
    exact = heatmap_loss(features, weight, bias, centres, SIGMA, function)
    with torch.autocast("cpu", dtype):
        loss = heatmap_loss(features.to(dtype), weight, bias, centres, SIGMA, function)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, exact, rtol=0.01, atol=0)
    ours = gradients(65536 * loss, features, weight)
    theirs = gradients(65536 * exact, features, weight)
    for near, far in zip(ours, theirs, strict=True):
        assert near.isfinite().all()
        assert (near - far).norm() < 0.02 * far.norm()


def test_compiled_equals_eager():
    features, weight, bias, centres = example()
    function = pointwise(losses.adaptive_wing, 10.0)
    eager = heatmap_loss(features, weight, bias, centres, SIGMA, function, 5)
    fused = heatmap_loss(features, weight, bias, centres, SIGMA, torch.compile(function), 5)
    torch.testing.assert_close(fused, eager, rtol=1e-6, atol=0)
    assert_same_gradients(fused, eager, features, weight, bias)


def test_keeps_no_tensor_of_all_maps():
    features, weight, bias, centres = example()
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            out = function(*args, **(kwargs or {}))
            for value in out if isinstance(out, tuple | list) else (out,):
                if isinstance(value, torch.Tensor):
                    largest = max(largest, value.numel())
            return out

    with Watch():
        heatmap_loss(
            features, weight, bias, centres, SIGMA, pointwise(losses.mse, 10.0), 2
        ).backward()
    assert largest == B * C * H * W  # the features; maps would be K / C times that


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_cells_and_pixels_are_a_circle_and_centred(stride):
    points = torch.tensor([[[-0.5, 127.5], [3.25, 64.0]]])
    cells = to_cells(points, stride)
    assert torch.equal(to_pixels(cells, stride), points)
    assert cells[0, 0].tolist() == [-0.5, 128 / stride - 0.5]  # edges stay edges


def test_dilation_of_a_product_is_the_product_of_dilations():
    centres = torch.tensor([[[3.3, 5.8], [0.1, 11.4]]])
    x, y = (profile(centres[..., i], n, SIGMA) for i, n in ((0, W), (1, H)))
    whole = (y[:, :, None] * x[:, None]).permute(0, 3, 1, 2)
    both = (dilate(y)[:, :, None] * dilate(x)[:, None]).permute(0, 3, 1, 2)
    torch.testing.assert_close(both, torch.nn.functional.max_pool2d(whole, 3, 1, 1))


@pytest.mark.parametrize("cells", [8**2, 32**2, 128**2, 512**2])
@pytest.mark.parametrize("landmarks", [1, 5, 68, 971, 4000])
@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_tiles_cover_all_with_little_padding(cells, landmarks, device):
    images, chunk, padded = choose_tile(32, cells, landmarks, None, device)
    assert 1 <= images <= 32 and 1 <= chunk <= landmarks
    assert landmarks <= padded <= max(landmarks + 16, 1.06 * landmarks) and padded % chunk == 0


def test_runs_on_a_fake_cuda_device_without_synchronisation():
    with FakeTensorMode(), torch.device("cuda"):
        features = torch.zeros(B, C, H, W, requires_grad=True)
        weight, bias = torch.zeros(K, C, requires_grad=True), torch.zeros(K, requires_grad=True)
        function = pointwise(functools.partial(losses.adaptive_wing, omega=10.0), 10.0)
        centres, sigma = torch.zeros(B, K, 2), torch.ones(())
        with torch.autocast("cuda", torch.float16):
            loss = heatmap_loss(features, weight, bias, centres, sigma, function)
        assert loss.device.type == "cuda" and loss.dtype == torch.float32


def test_accumulated_batches_add_up_to_the_whole():
    features, weight, bias, centres = example(batch=4)
    function = pointwise(losses.adaptive_wing, 10.0)
    whole = gradients(heatmap_loss(features, weight, bias, centres, SIGMA, function), weight)[0]
    halves = [
        heatmap_loss(features[some], weight, bias, centres[some], SIGMA, function) / 2
        for some in (slice(0, 2), slice(2, 4))
    ]
    added = sum(gradients(half, weight)[0] for half in halves)
    torch.testing.assert_close(added, whole, rtol=1e-5, atol=1e-7)


def test_trains_under_distributed_data_parallel():
    """One process is enough to see that the hooks on gradients fire."""
    torch.distributed.init_process_group(
        "gloo", store=torch.distributed.HashStore(), rank=0, world_size=1
    )
    try:
        head = HeatmapHead(C, K, 4 * W, losses.adaptive_wing, fuse=False)
        plain = [p.detach().clone() for p in head.parameters()]
        features, _, _, centres = example()
        features = features[..., :H].detach()
        wrapped = torch.nn.parallel.DistributedDataParallel(Loss(head))
        wrapped(features, centres).backward()
        grads = [p.grad for p in head.parameters()]
        assert all(g is not None and g.abs().sum() > 0 for g in grads)
        assert all(torch.equal(a, b) for a, b in zip(plain, head.parameters(), strict=True))
    finally:
        torch.distributed.destroy_process_group()


class Loss(torch.nn.Module):
    """A head's loss as a module's forward, which is what gets wrapped."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, features, points):
        return self.head.loss([features], points)
