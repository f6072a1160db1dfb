"""The U-Nets: their size, what they publish, and the circle through head and decoders."""

import pytest
import torch

from landmarks.losses import adaptive_wing
from landmarks.models.backbones import TorchvisionBackbone
from landmarks.models.builders import classic_unet, unet
from landmarks.models.unet import ClassicUnet, Unet

SETTLED = {"num_points": 7, "input_size": 64, "elementwise": adaptive_wing, "fuse": False}


def test_classic_unet_has_the_known_size():
    """17.3 million parameters with 971 maps: 64 to 1024 channels, bilinear."""
    body = ClassicUnet()
    maps = 64 * 971 + 971
    assert sum(p.numel() for p in body.parameters()) + maps == 17_326_027


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("side", [64, 80])
@pytest.mark.parametrize(
    "make",
    [
        ClassicUnet,
        lambda stride: Unet(TorchvisionBackbone("resnet18"), stride, 24),
        lambda stride: Unet(TorchvisionBackbone("convnext_tiny"), stride, 24),
    ],
)
def test_publishes_what_it_returns(make, stride, side):
    if make is not ClassicUnet and stride != 4 and side == 80:
        pytest.skip("one side is enough where the finest map is enlarged")
    body = make(stride).eval()
    with torch.no_grad():
        (features,) = body(torch.zeros(1, 3, side, side))
    assert body.strides == [stride]
    assert features.shape == (1, body.channels[0], side // stride, side // stride)


def test_finer_features_than_needed_are_not_joined():
    body = Unet(TorchvisionBackbone("resnet18"), 4, 24)
    assert [body.encoder.strides[i] for i in body.used] == [4, 8, 16, 32]


def test_sigma_goes_from_first_to_last_over_training():
    model = unet(backbone="resnet18", weights="none", sigma=[8, 2], **SETTLED)
    seen = []
    for progress in (0.0, 0.5, 1.0, 1.2):
        model.advance(progress, 0)
        seen.append(model.head.sigma.item())
    assert seen == pytest.approx([8, 4, 2, 2])
    assert model.state_dict()["head.sigma"] == 2  # decoders need it after training


def test_sigma_stays_where_it_is_one_number():
    model = classic_unet(stride=4, sigma=3, **SETTLED)
    model.advance(0.7, 0)
    assert model.head.sigma.item() == 3


@pytest.mark.parametrize("decoder", ["weighted", "local", "dark"])
@pytest.mark.parametrize("stride", [1, 2, 4])
def test_targets_decode_to_the_points_they_encode(decoder, stride):
    """The head's own stride and convention: input pixels in, the same input pixels out."""
    model = classic_unet(stride=stride, decoder=decoder, sigma=1.5, **SETTLED)
    head, side = model.head, 64 // stride
    points = torch.tensor([[-0.4, 0.0], [63.4, 63.0], [1.0, 40.2], [2, 2], [31.5, 17.7]])
    points = torch.cat([points, torch.rand(2, 2) * 63])[None]
    cells = (points + 0.5) / stride - 0.5
    axis = torch.arange(side)
    along = torch.exp(-((axis - cells[..., None]) ** 2) / (2 * 1.5**2))
    maps = along[:, :, 1, :, None] * along[:, :, 0, None]
    # Features that are the maps themselves, through a convolution that hands them on.
    head.weight.data, head.bias.data = torch.eye(7), torch.zeros(7)
    found, confidence = head.decode([maps])
    assert (found - points).norm(dim=2).max() < 0.01
    assert confidence.min() > 0.7


def test_loss_at_the_target_is_least():
    model = classic_unet(stride=4, sigma=1.5, **SETTLED)
    points = 63 * torch.rand(2, 7, 2)
    axis = torch.arange(16)
    cells = (points + 0.5) / 4 - 0.5
    along = torch.exp(-((axis - cells[..., None]) ** 2) / (2 * 1.5**2))
    maps = along[:, :, 1, :, None] * along[:, :, 0, None]
    model.head.weight.data, model.head.bias.data = torch.eye(7), torch.zeros(7)
    assert model.head.loss([maps], points) < 1e-6
    assert model.head.loss([maps], points + 2) > 0.01
