"""The largest cell, found in the ways that suit a device: the first of several, whatever way."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from landmarks.heatmaps.map_peaks import (
    SEARCHES,
    find_peak,
    gather_window,
    open_window,
    pool_rows,
    search_cells,
)

WAYS = [pool_rows, search_cells]
every_way = pytest.mark.parametrize("search", WAYS)
every_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])


def random_maps(dtype, batch=2, landmarks=150, height=13, width=9):
    """Maps of few different values, landmarks last in memory: most have several largest cells."""
    random = torch.Generator().manual_seed(0)
    shape = batch, height, width, landmarks
    values = torch.randint(-3, 30, shape, generator=random).to(dtype) / 8
    return values.permute(0, 3, 1, 2)


@every_way
@every_dtype
def test_the_first_largest_cell_is_found(search, dtype):
    maps = random_maps(dtype)
    flat = maps.flatten(2)
    largest = flat.amax(2)
    is_largest = flat == largest[..., None]
    assert (is_largest.sum(2) > 1).any()
    peak, cell = search(maps)
    assert torch.equal(peak, largest) and peak.dtype == dtype
    first = torch.where(is_largest, torch.arange(flat.shape[2]), flat.shape[2]).amin(2)
    assert torch.equal(cell, first)


@every_dtype
def test_all_ways_agree_where_a_cell_is_no_number(dtype):
    maps = random_maps(dtype)
    maps[0, 3, 4, 5] = maps[0, 3, 7, 1] = maps[1, 2] = torch.nan
    maps[0, 4, 2, 2] = maps[0, 4, 2, 5] = torch.inf
    maps[1, 5] = -torch.inf
    (peak, cell), (other_peak, other_cell) = (search(maps) for search in WAYS)
    assert torch.equal(peak.nan_to_num(1e4), other_peak.nan_to_num(1e4))
    is_number = ~peak.isnan()
    assert is_number.logical_not().sum() == 2 and (is_number == ~other_peak.isnan()).all()
    assert torch.equal(cell[is_number], other_cell[is_number])
    assert cell[0, 4] == 2 * 9 + 2 and cell[1, 5] == 0
    for found in (cell, other_cell):
        assert ((found >= 0) & (found < 13 * 9)).all()


def test_the_device_chooses_the_way():
    with FakeTensorMode(), torch.device("cuda"):
        peak, cell = find_peak(torch.zeros(2, 8, 8, 3).permute(0, 3, 1, 2))
        assert peak.device.type == cell.device.type == "cuda" and cell.shape == (2, 3)
    assert set(SEARCHES) == {"cuda"} and SEARCHES["cuda"] in WAYS


def test_the_window_is_about_the_cell_and_repeats_the_border():
    maps = torch.arange(30.0).view(1, 1, 5, 6).repeat(1, 3, 1, 1)
    window = open_window(1.0, maps.device)
    assert window.offsets.tolist() == [-3, -2, -1, 0, 1, 2, 3]
    values = gather_window(maps, torch.tensor([[14, 0, 29]]), window).view(3, 7, 7)
    assert torch.equal(values[0, 1:-1, 1:-1], maps[0, 0][:, :5])
    assert values[1].tolist()[:4] == [[0.0, 0, 0, 0, 1, 2, 3]] * 4 and values[2, -1, -1] == 29
    wide = open_window(torch.tensor(6.0), maps.device)
    assert wide.offsets.tolist() == list(range(-14, 16, 2)) and wide.sigma == 6


@pytest.mark.parametrize(
    ("max_sigma", "cells"), [(0.5, 7), (1.0, 7), (1.5, 11), (2.5, 15), (9, 15)]
)
def test_the_window_is_as_wide_as_the_largest_sigma_asks(max_sigma, cells):
    sigma = torch.tensor(0.5)
    assert len(open_window(sigma, sigma.device, max_sigma).offsets) == cells
    assert len(open_window(max_sigma, sigma.device).offsets) == cells
