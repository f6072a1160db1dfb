"""The maps of Keypoint R-CNN: for every landmark a softmax over the cells of a box.

A box (x1, y1, x2, y2) is given by its edges, as torchvision has them: pixel i reaches from i to
i + 1. Points count from pixel centres, so half a pixel is added to them.
Its map has CELLS x CELLS cells. Maps of all landmarks are never held together.
"""

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from landmarks.distributed import collectives
from landmarks.heatmaps.heatmap_loss import profile, to_cells, to_pixels, with_gradient

CELLS = 56  # a side: 14 pooled features, doubled by the predictor and by enlarging
MAX_ELEMENTS = {"cpu": 2**24, "cuda": 2**26}  # elements of the maps held at once
GRADIENT_SCALE = 1 / 16  # while summing: float16 must hold sums over many cells
ONE_CELL_SIGMA = 0.05  # a Gaussian of this sigma about a cell is 0 on the next one, in float32
SPREAD = 6.0  # cells: standard deviation of landmarks about the mean shape in its box


def to_box(points: Tensor, boxes: Tensor) -> Tensor:
    """Return points (N, K, 2) as cells of the maps of their boxes (N, 4)."""
    return to_cells(points - boxes[:, None, :2], _cell_sizes(boxes))


def from_box(cells: Tensor, boxes: Tensor) -> Tensor:
    """Undo `to_box`."""
    return to_pixels(cells, _cell_sizes(boxes)) + boxes[:, None, :2]


def _cell_sizes(boxes: Tensor) -> Tensor:
    return (boxes[:, None, 2:] - boxes[:, None, :2]) / CELLS


def encode(centres: Tensor, sigma: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the target distributions along x and y, (N, K, CELLS), and which count (N, K).

    Their product over the cells sums to 1: a Gaussian about the real-valued centre.

    Args:
        centres: (N, K, 2) in cells. What is NaN or outside the map does not count.
        sigma: in cells; 0: all of it in one cell, as published (He et al., Mask R-CNN, ICCV 2017).
    """
    counts = ((centres > -0.5) & (centres < CELLS - 0.5)).all(2)
    centres = torch.where(counts[..., None], centres, 0.0).float()
    if sigma == 0:
        centres, sigma = centres.round(), ONE_CELL_SIGMA
    width = torch.full((), sigma, device=centres.device)
    along_x, along_y = (profile(centres[..., axis], CELLS, width) for axis in (0, 1))
    along_x, along_y = (along / along.sum(1, keepdim=True) for along in (along_x, along_y))
    return along_x.transpose(1, 2), along_y.transpose(1, 2), counts


def find_logits(features: Tensor, weight: Tensor, bias: Tensor, expected: Tensor) -> Tensor:
    """Return logits (N, k, CELLS, CELLS), float32: those of the features plus those expected.

    As torchvision's KeypointRCNNPredictor: a transposed convolution, then bilinear enlarging.

    Args:
        features: (N, C, 14, 14).
        weight, bias: (C, k, 4, 4) and (k,), of k landmarks.
        expected: (k, 2), see `expect`.
    """
    coarse = functional.conv_transpose2d(features, weight, stride=2, padding=1)
    coarse = coarse.float() + bias.float()[:, None, None]
    seen = functional.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
    return seen + expect(expected)


def expect(centres: Tensor) -> Tensor:
    """Return logits (k, CELLS, CELLS) of landmarks before training: Gaussians about centres.

    Args:
        centres: (k, 2) in cells; NaN: the landmark may be anywhere.
    """
    cells = torch.arange(CELLS, dtype=centres.dtype, device=centres.device)
    along = -(((cells - centres[..., None]) / SPREAD) ** 2) / 2
    return (along[:, 1, :, None] + along[:, 0, None, :]).nan_to_num()


def cross_entropy(logits: Tensor, along_x: Tensor, along_y: Tensor) -> Tensor:
    """Return the cross entropy over cells of every map, (N, k), to targets of `encode`."""
    columns = (logits @ along_x[..., None])[..., 0]
    return logits.flatten(2).logsumexp(2) - (columns * along_y).sum(2)


def split_landmarks(count: int, landmarks: int, chunk: int | None, device: str) -> list[slice]:
    """Return slices of the landmarks whose maps are held together.

    Args:
        count: boxes, N.
        landmarks: K.
        chunk: landmarks a slice; None: what suits the device.
        device: "cpu", "cuda" ...
    """
    chunk = chunk or max(1, MAX_ELEMENTS.get(device, MAX_ELEMENTS["cuda"]) // (count * CELLS**2))
    return [slice(k, k + chunk) for k in range(0, landmarks, chunk)]


def sum_over_chunks(features, weight, bias, dtype, wanted, *, targets, expected, chunk):
    """Return what `landmarks.heatmaps.heatmap_loss.with_gradient` asks for; see `keypoint_loss`.

    Args:
        features, weight, bias, dtype, wanted: of `with_gradient`.
        targets: of `encode`.
        expected, chunk: of `keypoint_loss`.
    """
    along_x, along_y, counts = targets
    to_features = torch.zeros_like(features, dtype=torch.float32) if wanted else None
    to_weight, to_bias = torch.zeros_like(weight), torch.zeros_like(bias)
    loss = features.new_zeros((), dtype=torch.float32)
    with torch.set_grad_enabled(wanted):
        values = features.detach().to(dtype).requires_grad_(wanted)
        for some in split_landmarks(len(features), weight.shape[1], chunk, features.device.type):
            rows = weight[:, some].detach().to(dtype).requires_grad_(wanted)
            offsets = bias[some].detach().requires_grad_(wanted)
            logits = find_logits(values, rows, offsets, expected[some])
            losses = cross_entropy(logits, along_x[:, some], along_y[:, some])
            part = (losses * counts[:, some]).sum() * GRADIENT_SCALE
            if wanted:
                found = torch.autograd.grad(part, (values, rows, offsets))
                to_features += found[0]
                to_weight[:, some], to_bias[some] = found[1], found[2]
            loss += part.detach()
    mean = 1 / (GRADIENT_SCALE * collectives.divisor(counts.sum()))
    return loss, mean, (to_features, to_weight, to_bias) if wanted else None


def keypoint_loss(
    features: Tensor,
    weight: Tensor,
    bias: Tensor,
    centres: Tensor,
    sigma: float,
    expected: Tensor,
    chunk: int | None = None,
) -> Tensor:
    """Return the mean cross entropy of the maps that have a labelled point; a float32 scalar.

    Args:
        features, weight, bias: of `find_logits`, all landmarks'.
        centres, sigma: of `encode`.
        expected: (K, 2), of `expect`.
        chunk: of `split_landmarks`.
    """
    targets = encode(centres, sigma)
    compute = partial(sum_over_chunks, targets=targets, expected=expected, chunk=chunk)
    return with_gradient(compute, features, weight, bias)
