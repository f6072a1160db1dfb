"""A GPU finds what the CPU finds, and every way of computing what the others do."""

import pytest
import torch

from landmarks.heatmaps.compile_loss import fuse_loss
from landmarks.heatmaps.heatmap_loss import heatmap_loss, pointwise
from landmarks.heatmaps.map_peaks import pool_rows, search_cells
from landmarks.losses import adaptive_wing

SIZE, K = 64, 68
MODELS = ["resnet18", "unet_resnet18", "unet", "mobilenet_v3_large"]


@pytest.mark.parametrize("name", MODELS)
def test_it_finds_what_the_cpu_finds(name, cuda, make, faces):
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
