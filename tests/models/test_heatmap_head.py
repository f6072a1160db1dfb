"""The maxima that are pictured, against whole maps and against the points themselves."""

import math

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from landmarks.models.heatmap_head import HeatmapHead

B, C, K, SIZE, STRIDE = 3, 4, 11, 64, 4
CELLS = SIZE // STRIDE
RANGES = [range(K), range(2, 7), range(10, 11), range(0, 1)]


def make(chunk="auto", sigma=1.5):
    torch.manual_seed(0)
    head = HeatmapHead(C, K, SIZE, sigma=sigma, chunk=chunk, fuse=False)
    torch.nn.init.normal_(head.weight)
    torch.nn.init.normal_(head.bias)
    return head, [torch.randn(B, C, CELLS, CELLS)]


@pytest.mark.parametrize("chunk", ["auto", 1, 3, 5, 100])
@torch.no_grad()
def test_maxima_are_those_of_whole_maps(chunk):
    head, features = make(chunk)
    whole = torch.nn.functional.conv2d(features[0], head.weight[:, :, None, None], head.bias)
    wanted = torch.stack([whole[:, list(some)].amax(1) for some in RANGES], 1).clamp(min=0)
    assert (wanted == 0).any() and (wanted > 0).any()
    predicted, targets = head.maxima(features, RANGES)
    torch.testing.assert_close(predicted, wanted)
    assert targets is None


@pytest.mark.parametrize("chunk", ["auto", 3])
@torch.no_grad()
def test_target_maxima_are_the_largest_gaussian(chunk):
    head, features = make(chunk, sigma=2.0)
    points = torch.rand(B, K, 2) * (SIZE - 1)
    _, targets = head.maxima(features, RANGES, points)
    cells = (points + 0.5) / STRIDE - 0.5
    row, column = torch.meshgrid(torch.arange(CELLS), torch.arange(CELLS), indexing="ij")
    x, y = cells[..., 0, None, None], cells[..., 1, None, None]
    gaussians = torch.exp(-((column - x) ** 2 + (row - y) ** 2) / (2 * 2.0**2))
    for r, some in enumerate(RANGES):
        torch.testing.assert_close(targets[:, r], gaussians[:, list(some)].amax(1))


@torch.no_grad()
def test_the_brightest_cell_covers_the_point():
    head, features = make()
    points = torch.rand(B, K, 2) * SIZE - 0.5
    _, targets = head.maxima(features, [range(k, k + 1) for k in range(K)], points)
    best = targets.flatten(2).argmax(2)
    corner = torch.stack([best % CELLS, best // CELLS], 2) * STRIDE - 0.5  # of the cell's pixels
    assert (points >= corner).all() and (points <= corner + STRIDE).all()


@torch.no_grad()
def test_points_without_label_or_outside_have_no_target():
    head, features = make()
    points = torch.full((B, K, 2), 30.0)
    points[0, 2:7] = torch.tensor([math.nan, 30.0])
    points[1, 2:7] = torch.tensor([30.0, SIZE + 1.0])
    _, targets = head.maxima(features, RANGES, points)
    assert (targets[:2, 1] == 0).all() and targets[2, 1].max() > 0.9
    assert targets.isfinite().all() and (targets[:, 0].amax((1, 2)) > 0.9).all()


def test_maxima_stay_on_the_device():
    """Mixed devices and host reads of device values raise there, with no GPU in the machine."""
    with FakeTensorMode(), torch.device("cuda"), torch.no_grad():
        head, features = make(chunk=4)
        predicted, targets = head.maxima(features, RANGES, torch.zeros(B, K, 2))
        assert predicted.device.type == targets.device.type == "cuda"
        assert predicted.shape == targets.shape == (B, len(RANGES), CELLS, CELLS)


@pytest.mark.parametrize("decoder", ["argmax", "weighted", "local", "dark"])
@torch.no_grad()
def test_chunks_change_no_bit_of_what_is_decoded(decoder):
    _, features = make()
    found = []
    for chunk in ("auto", 1, 3, 100):
        torch.manual_seed(0)
        head = HeatmapHead(C, K, SIZE, decoder=decoder, chunk=chunk, fuse=False)
        torch.nn.init.normal_(head.weight)
        # Whole numbers: then the maps themselves have the same bits, whatever the product's shape.
        head.weight.copy_((8 * head.weight).round())
        found.append(head.decode([(8 * features[0]).round()]))
    for points, confidence in found[1:]:
        assert torch.equal(points, found[0][0]) and torch.equal(confidence, found[0][1])


@pytest.mark.parametrize("decoder", ["argmax", "weighted", "local", "dark"])
def test_decoding_stays_on_the_device(decoder):
    with FakeTensorMode(), torch.device("cuda"), torch.no_grad():
        head = HeatmapHead(C, K, SIZE, decoder=decoder, chunk=4, fuse=False)
        points, confidence = head.decode([torch.zeros(B, C, CELLS, CELLS)])
        assert points.device.type == confidence.device.type == "cuda"
        assert points.shape == (B, K, 2) and confidence.shape == (B, K)
