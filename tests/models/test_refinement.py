"""Refinement of a regression by the features at the found points, and what is subtracted."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from landmarks.losses import l1
from landmarks.models.builders import regressor
from landmarks.models.heads import MOMENTUM, Center, Refinement, RegressionHead

SIZE, STRIDE, K = 64, 8, 4
CELLS = SIZE // STRIDE
EDGE = (STRIDE - 1) / 2  # centre of the outermost cell


def features_that_know(truth):
    """Return (B, 2K, H, W): of every cell the way to each landmark, in cells."""
    centres = STRIDE * torch.arange(CELLS) + (STRIDE - 1) / 2
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    ways = (truth[..., None, None] - torch.stack([x, y])) / STRIDE  # (B, K, 2, H, W)
    return ways.flatten(1, 2)


def reader():
    """Return a refinement of which landmark k reads channels 2k and 2k + 1."""
    refinement = Refinement(2 * K, K, SIZE, STRIDE).eval()
    with torch.no_grad():
        for k in range(K):
            for axis in range(2):
                refinement.weight[axis, 2 * k + axis, k] = 1
    return refinement


def test_features_that_know_the_way_lead_there_from_anywhere():
    generator = torch.Generator().manual_seed(0)
    truth = -20 + (SIZE + 40) * torch.rand(3, K, 2, generator=generator)
    points = EDGE + (SIZE - 1 - 2 * EDGE) * torch.rand(3, K, 2, generator=generator)
    found = reader()(features_that_know(truth), points)
    torch.testing.assert_close(found, truth, rtol=0, atol=1e-3)


def test_points_beyond_the_outermost_cells_are_moved_as_the_nearest_within():
    points = torch.tensor([[[10.0, 20.0], [-5.0, 70.0], [3.5, 59.5], [31.0, 0.0]]])
    within = points.clamp(EDGE, SIZE - 1 - EDGE)
    refinement = reader()
    features = torch.rand(1, 2 * K, CELLS, CELLS)
    torch.testing.assert_close(
        refinement(features, points) - points, refinement(features, within) - within
    )


def test_they_start_at_what_was_found():
    points = 2 * SIZE * torch.rand(2, K, 2) - SIZE
    assert torch.equal(Refinement(3, K, SIZE, STRIDE)(torch.rand(2, 3, 8, 8), points), points)


def test_every_round_reads_where_the_last_one_led_and_has_the_loss():
    torch.manual_seed(0)
    refinement = Refinement(6, K, SIZE, STRIDE, rounds=3)
    nn.init.normal_(refinement.weight, std=0.3)
    head = RegressionHead(5, K, SIZE, l1, refinement=refinement).eval()
    nn.init.normal_(head.offsets.weight, std=0.1)
    features = [torch.rand(2, 6, CELLS, CELLS), torch.rand(2, 5, 2, 2)]
    rounds = head.find(features)
    assert len(rounds) == 4
    for before, after in pairwise(rounds):
        assert torch.equal(after, refinement(features[0], before))
    assert torch.equal(head.decode(features)[0], rounds[-1])
    truth = SIZE * torch.rand(2, K, 2)
    wanted = sum((found - truth).abs().mean() for found in rounds) / 4
    torch.testing.assert_close(head.loss(features, truth), wanted)


def test_what_is_read_has_a_gradient_and_where_it_is_read_has_none():
    refinement = Refinement(3, K, SIZE, STRIDE)
    nn.init.normal_(refinement.weight)
    features = torch.rand(1, 3, CELLS, CELLS, requires_grad=True)
    points = (SIZE * torch.rand(1, K, 2)).requires_grad_()
    refinement(features, points).sum().backward()
    assert points.grad is None and features.grad.abs().sum() > 0
    assert refinement.weight.grad.abs().min() > 0


@pytest.mark.parametrize("refine", [0, 1])
def test_refine_chooses_them(refine):
    model = regressor(
        backbone="resnet18", weights="none", refine=refine, num_points=K, input_size=SIZE
    )
    maps = model.extract(torch.zeros(1, 3, SIZE, SIZE))
    assert (model.head.corrections is not None) == bool(refine)
    assert [tuple(m.shape[1:]) for m in maps[-2:]] == [
        (96, CELLS, CELLS) if refine else (256, 4, 4),
        (512, 2, 2),
    ]


def test_images_of_another_size_are_read_at_the_same_places():
    torch.manual_seed(0)
    truth = SIZE * torch.rand(1, K, 2)
    fine = nn.functional.interpolate(features_that_know(truth), scale_factor=2, mode="bilinear")
    inner = 16 + 32 * torch.rand(1, K, 2)  # enlarging repeats what is at the edges
    torch.testing.assert_close(reader()(fine, inner), truth, rtol=0, atol=1e-3)


def test_a_center_follows_the_mean_in_training_and_stays_in_prediction():
    center = Center(3)
    features = torch.rand(4, 3, 5, 6) + torch.tensor([1.0, 2, 3])[:, None, None]
    means = features.mean((0, 2, 3))
    for _ in range(200):
        found = center(features)
    torch.testing.assert_close(center.mean, means)
    torch.testing.assert_close(found.mean((0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-5)
    before = center.eval().mean.clone()
    assert torch.equal(center(features + 7), features + 7 - before[:, None, None])
    assert torch.equal(center.mean, before)


def test_a_center_takes_any_number_of_axes_and_a_batch_of_one():
    center = Center(3)
    features = torch.tensor([[1.0, 2, 3]])
    torch.testing.assert_close(center(features), (1 - MOMENTUM) * features)


def test_a_center_of_what_was_trained_without_subtracts_nothing_and_stays():
    center = Center(3)
    center.mean.fill_(torch.nan)
    features = torch.rand(2, 3, 4, 4)
    assert torch.equal(center(features), features) and center.mean.isnan().all()
