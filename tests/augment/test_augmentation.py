"""Augmentation: pixels and points move as one, and nothing else about the points changes."""

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from landmarks.augment import warp
from landmarks.augment.augmentation import Augment
from landmarks.augment.damage import jpeg_tables, make_blocks, noise_tile

SIZE, K = 64, 6
FLIP = np.array([1, 0, 2, 4, 3, 5])
MOVES = {"shift": 0.06, "scale": 0.15, "rotate": 20.0, "shear": 0.1, "flip": 0.5}
LIGHT = {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "gamma": 0.3, "grey": 0.2}
DAMAGE = {"degrade": 0.7, "blur": 1.2, "noise": 12.0, "blocks": 2.0, "erase": 0.5}
ALL = {**MOVES, **LIGHT, **DAMAGE, "erase_size": 0.4}


def augment(seed=0, **settings):
    return Augment(input_size=SIZE, permutation=FLIP, seed=seed, **settings)


def dots(count=8, margin=0, seed=0):
    """Return images with a soft bright dot at each point, black elsewhere, and the points."""
    random = np.random.default_rng(seed)
    points = random.uniform(SIZE * 0.3, SIZE * 0.7, (count, K, 2))
    grid = np.arange(SIZE + 2 * margin) - margin
    images = np.zeros((count, K, *2 * grid.shape))
    for k in range(K):
        x, y = points[:, k, :1, None], points[:, k, 1:, None]
        away = (grid[None, None, :] - x) ** 2 + (grid[None, :, None] - y) ** 2
        images[:, k] = 255 * np.exp(-away / (2 * 2.0**2))
    return images, torch.from_numpy(points.astype(np.float32))


def centre(images):
    """Return where the brightness of images (B, H, W) has its middle, (B, 2)."""
    y, x = torch.meshgrid(*(torch.arange(float(n)) for n in images.shape[1:]), indexing="ij")
    total = images.sum((1, 2))
    return torch.stack([(images * x).sum((1, 2)) / total, (images * y).sum((1, 2)) / total], 1)


@pytest.mark.parametrize("margin", [0, 8])
@pytest.mark.parametrize("settings", [{key: MOVES[key]} for key in MOVES] + [MOVES], ids=str)
def test_pixels_and_points_move_together(settings, margin):
    images, points = dots(margin=margin)
    change = augment(**settings)
    worst = 0.0
    for k in range(K):
        rgb = torch.from_numpy(images[:, k].round().astype(np.uint8))[:, None].expand(-1, 3, -1, -1)
        out, moved = change(rgb, points, step=3)
        assert out.shape == (8, 3, SIZE, SIZE) and out.dtype == torch.float32
        # The dot of point k is where one of the moved points is: k itself, or where flipped, its
        # partner's place in the order.
        found = centre(out[:, 0])
        flipped = (moved[:, FLIP[k]] - found).norm(dim=1) < (moved[:, k] - found).norm(dim=1)
        away = torch.where(flipped, moved[:, FLIP[k]].T, moved[:, k].T).T - found
        worst = max(worst, float(away.norm(dim=1).max()))
        if "flip" not in settings:
            assert not flipped.any()
    assert worst < 0.06


def test_a_mirrored_face_has_left_and_right_exchanged():
    images, points = dots()
    rgb = torch.from_numpy(images.max(1).round().astype(np.uint8))[:, None].expand(-1, 3, -1, -1)
    out, moved = augment(flip=1.0)(rgb, points, 0)
    expected = points.clone()
    expected[..., 0] = SIZE - 1 - points[..., 0]
    assert torch.allclose(moved, expected[:, FLIP], atol=1e-4)
    assert torch.allclose(out, rgb.float().flip(3), atol=0.05)


def test_about_half_are_mirrored_and_none_without_a_permutation():
    points = torch.rand(400, K, 2) * SIZE
    images = torch.zeros(400, 3, SIZE, SIZE, dtype=torch.uint8)
    _, moved = augment(flip=0.5)(images, points, 0)
    mirrored = (moved - points).abs().amax((1, 2)) > 1e-3
    assert 150 < mirrored.sum() < 250
    change = Augment(input_size=SIZE, flip=1.0, seed=0)
    assert not change.is_on and torch.equal(change(images, points, 0)[1], points)


def test_points_are_neither_dropped_nor_clipped_nor_made_up():
    points = torch.rand(16, K, 2) * 4 * SIZE - 2 * SIZE
    points[:, 2] = torch.nan
    images = torch.randint(0, 256, (16, 3, SIZE, SIZE), dtype=torch.uint8)
    before = points.clone(), images.clone()
    _, moved = augment(**ALL)(images, points, 5)
    assert moved[:, 2].isnan().all() and moved[:, [0, 1, 3, 4, 5]].isfinite().all()
    assert (moved[:, [0, 1, 3, 4, 5]].abs() > SIZE).any()
    assert torch.equal(images, before[1])
    assert torch.equal(points.nan_to_num(-1), before[0].nan_to_num(-1))


def test_a_batch_depends_on_seed_and_step_alone():
    images = torch.randint(0, 256, (4, 3, SIZE, SIZE), dtype=torch.uint8)
    points = torch.rand(4, K, 2) * SIZE
    change = augment(**ALL)
    first = [change(images, points, step) for step in range(3)]
    again = augment(**ALL)(images, points, 1)  # as after a resume
    assert all(torch.equal(a, b) for a, b in zip(first[1], again, strict=True))
    assert not torch.equal(first[1][1], first[2][1])
    assert not torch.equal(augment(seed=1, **ALL)(images, points, 1)[1], again[1])


@pytest.mark.parametrize("key", [*LIGHT, "blur", "noise", "blocks", "erase"])
def test_every_knob_changes_pixels_and_only_pixels(key):
    settings = {**LIGHT, **DAMAGE}
    settings = {key: settings[key] if key not in ("grey", "erase") else 1.0}
    if key in ("blur", "noise", "blocks"):
        settings["degrade"] = 1.0
    if key == "erase":
        settings["erase_size"] = 0.4
    images = torch.randint(0, 256, (4, 3, SIZE, SIZE), dtype=torch.uint8)
    points = torch.rand(4, K, 2) * SIZE
    change = augment(**settings)
    assert change.is_on and not change.moves
    out, same = change(images, points, 0)
    assert torch.equal(same, points)
    assert ((out - images).abs().amax((1, 2, 3)) > 1).all()
    assert out.min() >= 0 and out.max() <= 255
    if key == "grey":
        assert (out.amax(1) - out.amin(1)).max() < 1e-3
    if key == "saturation":  # leaves the grey of each pixel as it was, where nothing is clipped
        luma = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
        mild = images // 4 + 96
        out, _ = change(mild, points, 0)
        assert torch.allclose((out * luma).sum(1), (mild * luma).sum(1), atol=1e-2)


def test_nothing_on_changes_nothing():
    images = torch.randint(0, 256, (2, 3, SIZE, SIZE), dtype=torch.uint8)
    points = torch.rand(2, K, 2) * SIZE
    change = augment()
    out, same = change(images, points, 0)
    assert not change.is_on and torch.equal(out, images.float()) and torch.equal(same, points)


def warped(images, matrices):
    """Return the images moved by matrices, blurred as much as these need it."""
    taps = torch.from_numpy(warp.smoothing_taps(warp.added_variance(matrices), 2))
    theta = torch.from_numpy(warp.sampling_matrices(matrices, SIZE, SIZE)).float()
    return warp.sample(warp.smooth(images, taps), theta, warp.pixel_grid(SIZE))


def test_shrinking_does_not_alias():
    stripes = torch.zeros(1, 3, SIZE, SIZE)
    stripes[..., ::2] = 255
    half = np.array([[[0.5, 0, 15.75], [0, 0.5, 15.75]]])
    inner = warped(stripes, half)[..., 20:44, 20:44]
    assert (inner - 127.5).abs().max() < 1  # the finest stripes turn grey, wherever pixels fall
    moved = half + np.array([[0, 0, 0.25], [0, 0, 0]])
    inner = warped(stripes, moved)[..., 20:44, 20:44]
    assert (inner - 127.5).abs().max() < 1


@pytest.mark.parametrize("variance", [0.2, 0.5, 1.0, 2.0])
def test_smooth_has_the_variance_it_was_asked_for(variance):
    steps, wanted = warp.smoothing_steps(variance), np.array([variance])
    taps = torch.from_numpy(warp.smoothing_taps(wanted, steps))
    dot = torch.zeros(1, 1, 21, 21)
    dot[..., 10, 10] = 1.0
    blurred = warp.smooth(dot, taps)
    away = torch.arange(21.0) - 10
    assert float(blurred.sum()) == pytest.approx(1.0, abs=1e-5)
    assert float((blurred[0, 0].sum(0) * away**2).sum()) == pytest.approx(variance, abs=1e-4)
    flat = torch.full((1, 3, 9, 9), 7.0)
    assert torch.allclose(warp.smooth(flat, taps), flat)
    # A step more than it takes changes no bit.
    assert torch.equal(warp.smooth(dot, torch.from_numpy(warp.smoothing_taps(wanted, 2))), blurred)


def test_blocks_keep_flat_pictures_and_quantise_others():
    flat = torch.full((1, 3, 20, 20), 128.0)
    which, strength = torch.tensor([[0.0]]), torch.tensor([[2.0]])
    blocky = make_blocks(flat.clone(), jpeg_tables(), which, strength)
    assert torch.allclose(blocky, flat, atol=1e-3)
    rough = flat + 20 * noise_tile(20, 0).permute(2, 0, 1)[None]
    assert torch.equal(make_blocks(rough.clone(), jpeg_tables(), which, 0 * strength), rough)
    blocky = make_blocks(rough.clone(), jpeg_tables(), which, strength)
    assert torch.equal(blocky[..., 16:, :], rough[..., 16:, :])
    assert blocky[..., :16, :16].std() < 0.8 * rough[..., :16, :16].std()


@pytest.mark.parametrize("name", ["none", "light", "strong"])
def test_configured_strengths(name):
    from hydra import compose, initialize_config_module

    with initialize_config_module("landmarks.configs", version_base="1.3"):
        node = OmegaConf.to_container(compose("train", overrides=[f"augment={name}"]).augment)
    node.pop("_target_")
    assert augment(**node).is_on == (name != "none")
    assert ("shift" in node) and augment(**node).moves == (name != "none")


EVERY_WAY = {
    "none": {},
    "moves": MOVES,
    "mirrored": {"flip": 0.2},
    "light": LIGHT,
    "barely blurred": {"degrade": 0.1, "blur": 0.5},
    "hardly shrunk": {"scale": 1e-6},
    "halved": {"scale": 1.0},
    "damage": {**DAMAGE, "degrade": 0.2, "erase_size": 0.4},
    "all": ALL,
}


@pytest.mark.parametrize("settings", EVERY_WAY.values(), ids=EVERY_WAY)
def test_more_work_than_a_batch_needs_changes_no_bit(settings):
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (3, 3, 80, 80), dtype=torch.uint8, generator=random)
    points = torch.rand(3, K, 2, generator=random) * SIZE
    change = augment(**settings)
    most, needed = change.most(3), set()
    for step in range(12):
        drawn = change.draw(3, step, 80)
        numbers = torch.from_numpy(drawn.numbers)
        assert all(own <= enough for own, enough in zip(drawn.work, most, strict=True))
        own = change.apply(images, points, numbers, drawn.work)
        again = change.apply(images, points, numbers, most)
        assert all(torch.equal(a, b) for a, b in zip(own, again, strict=True))
        needed.add(drawn.work)
    # Some batch takes less, where the work is a matter of chance.
    assert len(needed) > 1 or "degrade" not in settings


def test_a_batch_of_which_none_is_mirrored_is_not_interpolated():
    images = torch.randint(0, 256, (1, 3, SIZE, SIZE), dtype=torch.uint8)
    change = augment(flip=0.5)
    outs = [change(images, torch.zeros(1, K, 2), step)[0] for step in range(20)]
    assert 0 < sum(torch.equal(out, images.float()) for out in outs) < 20


class OnTheDeviceAlone(TorchDispatchMode):
    """Refuses operations that a captured graph may not have: all else than tensors of a device."""

    def __init__(self, device):
        super().__init__()
        self.device = device

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for part in tree_leaves((args, kwargs, out)):
            if isinstance(part, torch.Tensor):
                assert part.device.type == self.device, f"{func} of {part.device}"
        return out


@pytest.mark.parametrize("settings", EVERY_WAY.values(), ids=EVERY_WAY)
def test_what_is_launched_depends_on_no_number(settings):
    """A tensor of "meta" has no numbers: whoever asks for one fails."""
    change = augment(**settings)
    drawn = change.draw(4, 0, 80)
    images = torch.empty(4, 3, 80, 80, dtype=torch.uint8, device="meta")
    points = torch.empty(4, K, 2, device="meta")
    numbers = torch.from_numpy(drawn.numbers).to("meta")
    change.place(images.device)
    for work in (drawn.work, change.most(4)):
        with OnTheDeviceAlone("meta"):
            out, moved = change.apply(images, points, numbers, work)
        assert out.shape == (4, 3, SIZE, SIZE) and moved.shape == points.shape


def test_a_call_is_one_pinned_copy_and_nothing_waits_for_it(monkeypatch):
    change, pinned = augment(**ALL), []
    # A tensor made of Python's numbers on a device is waited for.
    monkeypatch.delattr(torch, "tensor")
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self.shape) or self)
    with FakeTensorMode(allow_non_fake_inputs=True):
        images = torch.empty(4, 3, SIZE, SIZE, dtype=torch.uint8, device="cuda")
        points = torch.empty(4, K, 2, device="cuda")
        out, moved = change(images, points, 0)
        assert out.device.type == moved.device.type == "cuda"
        assert out.shape == (4, 3, SIZE, SIZE) and moved.shape == points.shape
    assert pinned == [(4, change.columns.width)]
