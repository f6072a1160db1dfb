"""Networks that return one fine feature map: the classic U-Net, and a light one over a backbone."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from landmarks.models.model_protocols import Backbone


def convolve(inside: int, outside: int) -> list[nn.Module]:
    """Return a 3x3 convolution with its norm and activation."""
    return [
        nn.Conv2d(inside, outside, 3, padding=1, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(inplace=True),
    ]


def enlarge(features: Tensor, like: Tensor) -> Tensor:
    """Return features bilinearly enlarged to another map's cells."""
    return functional.interpolate(features, like.shape[2:], mode="bilinear", align_corners=False)


class ClassicUnet(Backbone):
    """Images (B, 3, H, W), normalised -> [features], at `stride` pixels a cell.

    Five levels of 64 to 1024 channels have two convolutions each. On the way up, features are
    enlarged bilinearly and concatenated; each level passes half its channels on.

    Args:
        stride: 1, 2 or 4: finer levels are left out on the way up.

    Source: Ronneberger et al., U-Net, MICCAI 2015.
    """

    WIDTHS = (64, 128, 256, 512, 1024)

    def __init__(self, stride: int = 1):
        super().__init__()
        level = {1: 0, 2: 1, 4: 2}[stride]
        widths = [*self.WIDTHS[:-1], self.WIDTHS[-1] // 2]
        self.down = nn.ModuleList(
            nn.Sequential(*convolve(before, width), *convolve(width, width))
            for before, width in zip((3, *widths), widths, strict=False)
        )
        self.up = nn.ModuleList()
        below = widths[-1]
        for width, handed in zip(widths[-2::-1], (*widths[-3::-1], widths[0]), strict=True):
            both = below + width
            self.up.append(nn.Sequential(*convolve(both, both // 2), *convolve(both // 2, handed)))
            below = handed
        del self.up[len(widths) - 1 - level :]
        self.channels, self.strides = [self.up[-1][-2].num_features], [stride]
        self.mean, self.std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return [features], (B, C, H / stride, W / stride)."""
        levels = [self.down[0](images)]
        for block in self.down[1:]:
            levels.append(block(functional.max_pool2d(levels[-1], 2)))
        features = levels.pop()
        for block in self.up:
            finer = levels.pop()
            features = block(torch.cat([finer, enlarge(features, finer)], 1))
        return [features]


class Unet(Backbone):
    """Images (B, 3, H, W), normalised -> [features], at `stride` pixels a cell.

    A 1x1 convolution brings each of the backbone's feature maps to `width` channels. They are
    enlarged and added up from the coarsest to the one of `stride`; a 3x3 convolution follows. Where
    the backbone has no map as fine as that, the sum is enlarged.

    Args:
        encoder: publishes channels and strides, fine to coarse.
        stride: of the features that are returned.
        width: their channels.
        keeps_last: return the encoder's last map after them.

    Source: Lin et al., Feature Pyramid Networks, CVPR 2017, its top-down pathway.
    """

    def __init__(self, encoder: Backbone, stride: int, width: int, keeps_last: bool = False):
        super().__init__()
        self.encoder = encoder
        self.used = [i for i, published in enumerate(encoder.strides) if published >= stride]
        self.lateral = nn.ModuleList(nn.Conv2d(encoder.channels[i], width, 1) for i in self.used)
        self.out = nn.Sequential(*convolve(width, width))
        self.kept = slice(-1, None) if keeps_last else slice(0)  # of the encoder's maps
        self.channels = [width, *encoder.channels[self.kept]]
        self.strides = [stride, *encoder.strides[self.kept]]
        self.mean, self.std = encoder.mean, encoder.std

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return [features], (B, C, H / stride, W / stride), and maybe the encoder's last map."""
        maps = self.encoder(images)
        features = None
        for i, lateral in zip(reversed(self.used), reversed(self.lateral), strict=True):
            finer = lateral(maps[i])
            features = finer if features is None else finer + enlarge(features, finer)
        side = [length // self.strides[0] for length in images.shape[2:]]
        if features.shape[2] < side[0]:
            features = functional.interpolate(features, side, mode="bilinear", align_corners=False)
        return [self.out(features), *maps[self.kept]]

    def pretrained(self) -> Backbone:
        """Return the encoder."""
        return self.encoder

    def parameters_by_stage(self) -> list[list[nn.Parameter]]:
        """Return the encoder's parameters, see `Backbone.parameters_by_stage`."""
        return self.encoder.parameters_by_stage()
