"""Encode, decode, and be where one was: inside, at the border and outside of the map."""

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from landmarks.heatmaps import decoders
from landmarks.heatmaps.decoders import DECODERS, argmax, dark, local, weighted

SIGMAS = [1.0, 1.5, 2.0, 3.0, 7.0]
every_decoder = pytest.mark.parametrize("decode", DECODERS.values(), ids=list(DECODERS))
every_unbiased = pytest.mark.parametrize("decode", [weighted, local, dark])
every_sigma = pytest.mark.parametrize("sigma", SIGMAS)


def encode(points, sigma, width=32, height=28):
    """Heatmaps (B, K, H, W) of points (B, K, 2) by the formula, memory order (B, H, W, K)."""
    x = torch.exp(-((torch.arange(width) - points[..., :1]) ** 2) / (2 * sigma**2))
    y = torch.exp(-((torch.arange(height) - points[..., 1:]) ** 2) / (2 * sigma**2))
    maps = y[..., :, None] * x[..., None, :]
    return maps.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def scatter(count, low, width=32, height=28, seed=0):
    """Random points (1, count, 2), from `low` cells inside the border on all sides."""
    random = torch.Generator().manual_seed(seed)
    span = torch.tensor([width - 1.0, height - 1.0]) - 2 * low
    return low + span * torch.rand(1, count, 2, generator=random)


def noise_like(maps, seed=0):
    return torch.randn(maps.shape, generator=torch.Generator().manual_seed(seed))


def rms(found, points):
    return (found[0] - points).square().sum(-1).mean().sqrt().item()


@every_unbiased
@every_sigma
def test_points_come_back(decode, sigma):
    """Everywhere, from a cell outside on; a sigma that only the device knows changes nothing."""
    points = scatter(2000, low=-1.0)
    maps = encode(points, sigma)
    found, confidence = decode(maps, sigma)
    assert (found - points).abs().max() < 0.01
    assert torch.equal(confidence, maps.amax((2, 3)))
    for max_sigma in (None, sigma, 1.5 * sigma):
        again, _ = decode(maps, torch.tensor(sigma), max_sigma)
        assert (again - found).abs().max() < 1e-4


@every_unbiased
@every_sigma
@pytest.mark.parametrize("edge", [-1.0, -0.5, 0.0, 0.5, 1.0, 2.0])
def test_points_at_a_border_come_back(decode, sigma, edge):
    others = torch.linspace(-1, 28, 59)
    near = torch.stack([torch.full_like(others, edge), others.clamp(max=28)], dim=1)
    far = torch.tensor([31.0, 27.0]) - near.flip(1)
    points = torch.cat([near, far])[None]
    assert (decode(encode(points, sigma), sigma)[0] - points).abs().max() < 0.01


@pytest.mark.parametrize("decode", [weighted, local])
def test_small_peaks_are_followed_outside_too(decode):
    points = torch.tensor([[[-1.0, 10.3], [10.3, -1.4], [32.2, 28.0]]])
    assert (decode(encode(points, 0.8), 0.8)[0] - points).abs().max() < 0.01


@every_decoder
@every_sigma
def test_points_far_outside_end_near_the_edge(decode, sigma):
    points = torch.tensor([[[-4.0, 10.0], [10.0, -4.0], [35.0, 31.0], [-40.0, 10.0], [400, 400.0]]])
    found, confidence = decode(encode(points, sigma), sigma)
    assert found.isfinite().all() and confidence.isfinite().all()
    reach = max(1.5, sigma) + 1e-4
    assert (found >= -reach).all() and (found <= torch.tensor([31.0, 27.0]) + reach).all()
    if decode is not argmax:
        assert (found[0, 0, 0] < 0.01) and (found[0, 1, 1] < 0.01) and (found[0, 2] > 26.9).all()


@every_sigma
def test_argmax_is_the_nearest_cell(sigma):
    points = scatter(1000, low=0.0)
    found, _ = argmax(encode(points, sigma), sigma)
    assert (found - points).abs().max() <= 0.5 + 1e-3
    assert torch.equal(found, found.round())


def test_argmax_is_the_first_of_several():
    maps = torch.zeros(1, 2, 5, 6)
    maps[0, 0, 1, 4] = maps[0, 0, 1, 5] = maps[0, 0, 3, 0] = 0.5
    assert argmax(maps, 1.5)[0].tolist() == [[[4, 1], [0, 0]]]


@every_decoder
def test_memory_order_and_batch_do_not_matter(decode):
    points = torch.cat([scatter(6, low=2.0, seed=seed) for seed in (1, 2)])
    maps = encode(points, 1.5)
    whole = torch.cat([maps, maps], dim=1)[:, 3:9]
    expected = torch.cat([points[:, 3:], points[:, :3]], dim=1)
    for same in (whole, whole.contiguous(), whole.transpose(2, 3).contiguous().transpose(2, 3)):
        found, confidence = decode(same, 1.5)
        assert found.shape == (2, 6, 2) and confidence.shape == (2, 6)
        assert (found - expected).abs().max() < (0.51 if decode is argmax else 0.01)


@every_decoder
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_maps_are_decoded_in_float32(decode, dtype):
    points = scatter(500, low=-1.0)
    with torch.autocast("cpu", torch.bfloat16):
        found, confidence = decode(encode(points, 1.5).to(dtype), 1.5)
    assert found.dtype == confidence.dtype == torch.float32
    # bfloat16 keeps 8 bits: cells are off by up to 0.2 %.
    assert rms((found, confidence), points) < (0.7 if decode is argmax else 0.05)


@every_decoder
@pytest.mark.parametrize("value", [0.0, 0.3, -0.2, 2.0])
@pytest.mark.parametrize("shape", [(12, 9), (1, 1), (2, 3)])
def test_maps_without_a_peak_give_finite_points(decode, value, shape):
    maps = torch.full((2, 3, *shape), value)
    found, confidence = decode(maps, 1.5)
    assert found.isfinite().all()
    assert (found >= -1.5).all() and (found <= torch.tensor(shape[::-1]) + 0.5).all()
    assert ((confidence >= 0) & (confidence <= 1)).all()


@every_decoder
@pytest.mark.parametrize("cells", [np.s_[:, :], np.s_[12, 13], np.s_[0, 31]])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_map_that_is_no_number_has_no_point_and_spoils_no_other(decode, value, cells):
    points = torch.full((2, 3, 2), 12.3)
    maps = encode(points, 1.5)
    maps[1, 1][cells] = value
    found, confidence = decode(maps, 1.5)
    is_lost = torch.zeros(2, 3, dtype=torch.bool)
    is_lost[1, 1] = value != -torch.inf or cells == np.s_[:, :]  # a low cell is none of a peak's
    assert torch.equal(found.isnan().all(2), is_lost) and torch.equal(found.isnan().any(2), is_lost)
    assert torch.equal(confidence.isnan(), is_lost)
    near = found[~is_lost] - points[~is_lost]
    assert near.abs().max() < 1.5


@every_decoder
def test_confidence_is_the_largest_cell_clamped(decode):
    maps = encode(scatter(3, low=5.0), 1.5) * torch.tensor([0.25, 3.0, -1.0])[:, None, None]
    _, confidence = decode(maps, 1.5)
    assert torch.equal(confidence, maps.amax((2, 3)).clamp(0, 1))


@pytest.mark.parametrize("decode", [weighted, local, dark])
@pytest.mark.parametrize("sigma", [1.0, 2.0, 3.0])
def test_what_is_far_from_the_peak_has_no_say(decode, sigma):
    """A floor, noise, and half a peak where the landmark is not."""
    points = scatter(500, low=8.0, width=96, height=80)
    maps = encode(points, sigma, width=96, height=80)
    others = (points + torch.tensor([48.0, 40.0])) % torch.tensor([96.0, 80.0])
    disturbed = maps + 0.5 * encode(others, sigma, width=96, height=80)
    disturbed += 0.02 + 0.02 * noise_like(maps)
    found, rough = (rms(each(disturbed, sigma), points) for each in (decode, argmax))
    assert found < min(0.12, 0.3 * rough)


@pytest.mark.parametrize(("decode", "slack"), [(local, 1e-3), (weighted, 0.02)])
@pytest.mark.parametrize("breadth", [1.0, 1.25, 1.5, 2.0])
@pytest.mark.parametrize("low", [-1.0, 6.0])
def test_undoing_truncation_helps_broader_maps_too(decode, slack, breadth, low, monkeypatch):
    points = scatter(500, low=low)
    maps = encode(points, 1.5 * breadth)
    corrected = decode(maps, 1.5)[0] - points
    monkeypatch.setattr(decoders, "NEWTON_STEPS", 0)
    plain = decode(maps, 1.5)[0] - points
    assert (corrected.abs() <= plain.abs() + slack).all()
    assert corrected.square().mean() <= 1.001 * plain.square().mean()


@pytest.mark.parametrize("sigma", [1.5, 3.0])
def test_dark_follows_broad_and_oblong_maps(sigma):
    """Without a border near, the curvature is the map's own, as in the paper."""
    points = scatter(500, low=10.0)
    broad = encode(points, 1.5 * sigma)
    oblong = encode(points, sigma) ** torch.tensor(0.7) * encode(points, 2 * sigma)
    for maps in (broad, oblong):
        assert (dark(maps, sigma)[0] - points).abs().max() < 0.05


WORST = {dark: (0.026, 0.15), local: (0.04, 0.18), weighted: (0.03, 0.18)}  # at each level


@pytest.mark.parametrize("decode", WORST)
@pytest.mark.parametrize(("which", "level"), [(0, 0.02), (1, 0.1)])
@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.0, 3.0])
def test_noise_moves_points_little(decode, which, level, sigma):
    """The least possible is 1.13 cells times the level: its sqrt(2 / pi) on either axis."""
    points = scatter(2000, low=6.0)
    maps = encode(points, sigma)
    noisy = maps + level * noise_like(maps)
    found = decode(noisy, sigma)
    assert level < rms(found, points) < WORST[decode][which]
    assert (decode(noisy, torch.tensor(sigma))[0] - found[0]).abs().max() < 1e-3


@pytest.mark.parametrize(("decode", "worst"), [(dark, 0.12), (local, 0.08), (weighted, 0.08)])
@pytest.mark.parametrize("sigma", [1.5, 2.0, 3.0])
def test_noise_at_a_border_moves_points_little(decode, worst, sigma):
    """From 2 cells inside to 1 outside; DARK as published is off by 0.5 cells and more."""
    points = scatter(2000, low=6.0)
    points[..., 0] = 3 * torch.rand(2000, generator=torch.Generator().manual_seed(3)) - 1
    maps = encode(points, sigma)
    assert rms(decode(maps + 0.02 * noise_like(maps), sigma), points) < worst


@pytest.mark.parametrize("decode", [dark, local, weighted])
def test_noise_throws_no_point_far(decode):
    points = scatter(1000, low=-1.0)
    maps = encode(points, 1.5)
    for level in (0.1, 1.0):
        noisy = maps + level * noise_like(maps)
        peaks = argmax(noisy, 1.5)[0]
        assert (decode(noisy, 1.5)[0] - peaks).abs().max() <= 1.5 + 1e-4


def test_dark_stays_on_the_cell_where_the_fit_has_no_maximum():
    """A narrow peak in the middle of a valley: a step would go the wrong way."""
    x, y = torch.arange(9.0) - 4, (torch.arange(9.0) - 4)[:, None]
    saddle = torch.exp(0.1 * x**2 + 0.05 * x - 0.5 * y**2)
    saddle = (saddle / saddle[4, 7]).clamp(max=0.98)
    saddle[4, 4] = 1.0
    for lying in (saddle, saddle.T):
        assert dark(lying[None, None], 1.5)[0].tolist() == [[[4, 4]]]


@every_decoder
@pytest.mark.parametrize("known", [True, False])
def test_runs_on_a_fake_cuda_device_without_synchronisation(decode, known):
    """Mixed devices and host reads of device values raise there, with no GPU in the machine."""
    with FakeTensorMode(), torch.device("cuda"):
        maps = torch.zeros(2, 16, 20, 3, dtype=torch.bfloat16).permute(0, 3, 1, 2)
        found, confidence = decode(maps, 1.5 if known else torch.ones(()))
        assert found.device.type == confidence.device.type == "cuda"
        assert found.shape == (2, 3, 2) and found.dtype == confidence.dtype == torch.float32


def cut(maps, images, landmarks):
    """Tiles of maps (B, K, H, W), as heads make them."""
    for first in range(0, maps.shape[0], images):
        for k in range(0, maps.shape[1], landmarks):
            part, some = slice(first, first + images), slice(k, k + landmarks)
            yield part, some, maps[part, some]


@every_decoder
@pytest.mark.parametrize("sigma", [1.5, torch.tensor(3.0)])
@pytest.mark.parametrize("finished", [1, 64, 2**20])
def test_tiles_give_what_whole_maps_give(decode, sigma, finished, monkeypatch):
    """Whatever the tiles, and however many maps are finished at once."""
    monkeypatch.setitem(decoders.FINISHED, "cpu", finished)
    points = torch.cat([scatter(40, low=-1.0, seed=seed) for seed in range(5)])
    maps = encode(points, 1.5) + 0.02 * noise_like(encode(points, 1.5))
    maps[2, 3, 0, 0] = torch.nan
    whole = decode(maps, sigma)
    for tiles in (cut(maps, 5, 40), cut(maps, 2, 16), cut(maps, 1, 7)):
        found = decode.decode_tiles(tiles, 5, 40, sigma)
        for values, others in zip(found, whole, strict=True):
            torch.testing.assert_close(values, others, rtol=0, atol=1e-5, equal_nan=True)


@every_decoder
@pytest.mark.parametrize("landmarks", [1, 7, 68])
@pytest.mark.parametrize("sigma", [1.0, torch.tensor(4.0)])
def test_a_point_is_the_same_to_the_bit_in_every_batch(decode, landmarks, sigma):
    maps = 0.05 * torch.randn(5, landmarks, 16, 20, generator=torch.Generator().manual_seed(0))
    maps = maps + encode(scatter(landmarks, low=2.0, width=20, height=16), 1.5, 20, 16)
    whole = decode.decode_tiles(cut(maps, 5, landmarks), 5, landmarks, sigma)
    for some in (slice(0, 3), slice(1, 5), slice(4, 5)):
        part = decode.decode_tiles(cut(maps[some], 2, landmarks), len(maps[some]), landmarks, sigma)
        for values, others in zip(part, whole, strict=True):
            assert torch.equal(values, others[some])


@every_decoder
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_little_is_kept_of_a_map(decode, dtype):
    maps = encode(scatter(3, low=2.0, width=64, height=64), 1.5, width=64, height=64).to(dtype)
    kept = decode.read(maps, decoders.open_window(torch.tensor(1.5), maps.device))
    each = sum(values[0, 0].numel() * values.element_size() for values in kept)
    assert each <= 8 + maps.element_size() + max(225 * maps.element_size(), 2 * 64 * 4)
    kept = decode.read(maps, decoders.open_window(torch.tensor(0.8), maps.device, max_sigma=1.0))
    assert sum(values[0, 0].numel() for values in kept) <= 2 + max(49, 2 * 64)


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("beside", [1, 32, 33])
def test_of_two_equal_cells_either_gives_the_same_point(sigma, beside):
    """The last digit chooses between them, and another machine's digits may choose the other."""
    maps = encode(scatter(1000, low=8.0, height=32), sigma, height=32)
    maps = maps + 0.05 * functional.avg_pool2d(noise_like(maps), 3, 1, 1) * 3
    flat = maps.flatten(2).contiguous()
    highest, cell = flat.max(2, keepdim=True)
    other = cell + beside
    one = flat.scatter(2, other, highest - 1e-6).view(maps.shape)
    two = flat.scatter(2, other, highest + 1e-6).view(maps.shape)
    moved = (argmax(one, sigma)[0] - argmax(two, sigma)[0]).norm(dim=2)
    assert moved.min() >= 1
    assert (dark(one, sigma)[0] - dark(two, sigma)[0]).norm(dim=2).quantile(0.99) < 0.005


@pytest.mark.parametrize("height", [28, 48, 13])
def test_weighted_may_read_several_rows_at_once(height, monkeypatch):
    points = scatter(200, low=0.0, height=height)
    maps = encode(points, 1.5, height=height)
    one = weighted(maps, 1.5)[0]
    monkeypatch.setitem(decoders.ROWS, "cpu", 16)
    torch.testing.assert_close(weighted(maps, 1.5)[0], one, rtol=0, atol=1e-4)
