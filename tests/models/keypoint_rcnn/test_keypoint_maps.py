"""The maps of boxes: where cells lie, and the chunked loss against torchvision's."""

import pytest
import torch
from torch.nn import functional
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNPredictor
from torchvision.models.detection.roi_heads import keypointrcnn_loss

from landmarks.heatmaps.decoders import DECODERS
from landmarks.models.keypoint_rcnn import keypoint_maps
from landmarks.models.keypoint_rcnn.keypoint_maps import (
    CELLS,
    encode,
    expect,
    from_box,
    keypoint_loss,
    to_box,
)

BOXES = torch.tensor([[10.0, 20.0, 66.0, 76.0], [3.5, 8.0, 101.7, 54.3]])


def some_points(landmarks=5):
    torch.manual_seed(0)
    corners, sides = BOXES[:, None, :2], BOXES[:, None, 2:] - BOXES[:, None, :2]
    return corners + sides * (0.1 + 0.8 * torch.rand(len(BOXES), landmarks, 2))


def test_a_box_as_large_as_its_map_has_a_cell_a_pixel():
    points = torch.tensor([[[10.0, 20.0], [65.0, 75.0], [10.25, 75.5]]])
    cells = torch.tensor([[[0.0, 0.0], [55.0, 55.0], [0.25, 55.5]]])
    assert torch.equal(to_box(points, BOXES[:1]), cells)


def test_pixels_come_back_from_cells():
    points = some_points()
    torch.testing.assert_close(from_box(to_box(points, BOXES), BOXES), points)


def test_targets_are_distributions_and_what_is_outside_does_not_count():
    centres = torch.tensor(
        [[[20.3, 7.9], [-0.6, 5.0], [5.0, 55.6], [torch.nan, 5.0], [-0.4, 55.4]]]
    )
    along_x, along_y, counts = encode(centres, 1.5)
    assert counts.tolist() == [[True, False, False, False, True]]
    for along in (along_x, along_y):
        torch.testing.assert_close(along.sum(2), torch.ones(1, 5))
    cells = torch.arange(CELLS)
    torch.testing.assert_close((along_x[0, 0] * cells).sum(), torch.tensor(20.3))
    torch.testing.assert_close((along_y[0, 0] * cells).sum(), torch.tensor(7.9))
    along_x, along_y, _ = encode(centres, 0)
    assert along_x[0, 0].nonzero().item() == 20 and along_y[0, 4].nonzero().item() == 55


@pytest.mark.parametrize(("sigma", "decoder", "most"), [(0, "argmax", 0.5), (1.5, "local", 0.01)])
def test_points_come_back_from_ideal_logits(sigma, decoder, most):
    """Ideal for the predictor: the nearest to the targets that enlarged logits can come."""
    centres = to_box(some_points(), BOXES)
    along_x, along_y, _ = encode(centres, sigma)
    coarse = torch.zeros(2, 5, CELLS // 2, CELLS // 2, requires_grad=True)

    def enlarged():
        return functional.interpolate(coarse, scale_factor=2.0, mode="bilinear")

    optimizer = torch.optim.LBFGS([coarse], max_iter=100)

    def closure():
        optimizer.zero_grad()
        loss = keypoint_maps.cross_entropy(enlarged(), along_x, along_y).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    shares = enlarged().detach().flatten(2).softmax(2).unflatten(2, (CELLS, CELLS))
    found, _ = DECODERS[decoder](shares, max(sigma, 0.5))
    assert (found - centres).abs().max() <= most


@pytest.mark.parametrize("chunk", [None, 2])
def test_loss_and_gradients_are_torchvisions(chunk):
    torch.manual_seed(0)
    predictor = KeypointRCNNPredictor(8, 5)
    torch.nn.init.normal_(predictor.kps_score_lowres.bias)
    features = torch.randn(2, 8, 14, 14, requires_grad=True)
    points = some_points()
    points[0, 1], points[1, 3] = torch.nan, torch.tensor([0.0, 30.0])  # unlabelled; outside
    seen = torch.cat([(points + 0.5).nan_to_num(), points.isfinite().all(2, True)], 2)
    expected = keypointrcnn_loss(
        predictor(features), list(BOXES[:, None]), list(seen[:, None]), [torch.zeros(1).long()] * 2
    )
    inputs = (features, predictor.kps_score_lowres.weight, predictor.kps_score_lowres.bias)
    wanted = torch.autograd.grad(2 * expected, inputs)
    anywhere = torch.full((5, 2), torch.nan)
    loss = keypoint_loss(*inputs, to_box(points, BOXES), 0, anywhere, chunk)
    torch.testing.assert_close(loss, expected)
    for got, want in zip(torch.autograd.grad(2 * loss, inputs), wanted, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("chunk", [None, 2])
def test_landmarks_are_looked_for_first_where_they_are_expected(chunk):
    """Without features, the loss is the cross entropy of Gaussians about the expected places."""
    expected = torch.tensor([[20.3, 7.9], [40.0, 33.5], [torch.nan, torch.nan], [0.0, 55.0]])
    shares = expect(expected).flatten(1).softmax(1).view(4, CELLS, CELLS)
    centre, _ = DECODERS["local"](shares[None, :2], keypoint_maps.SPREAD)
    torch.testing.assert_close(centre[0], expected[:2], atol=0.05, rtol=0)
    torch.testing.assert_close(shares[2], torch.full_like(shares[2], CELLS**-2))
    centres = expected[None].nan_to_num(30.0)
    features, weight = torch.zeros(1, 8, 14, 14), torch.randn(8, 4, 4, 4)
    loss = keypoint_loss(features, weight, torch.zeros(4), centres, 0, expected, chunk)
    x, y = centres[0].round().long().T
    torch.testing.assert_close(loss, -shares[torch.arange(4), y, x].log().mean())


def test_no_more_maps_are_held_than_fit(monkeypatch):
    monkeypatch.setitem(keypoint_maps.MAX_ELEMENTS, "cpu", 4 * CELLS**2)
    assert [s.stop - s.start for s in keypoint_maps.split_landmarks(2, 6, None, "cpu")] == [2] * 3
    assert len(keypoint_maps.split_landmarks(9, 6, None, "cpu")) == 6
    assert len(keypoint_maps.split_landmarks(2, 6, 4, "cpu")) == 2
