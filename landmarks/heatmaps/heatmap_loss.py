"""Heatmaps of many landmarks in bounded memory: Gaussian targets, and the loss over chunks.

A map is (H, W) cells of `stride` input pixels. Maps of several landmarks are held as (B, H, W, k),
landmarks last: they are one matrix product of features in channels-last order, and the targets'
profiles are then read in the order of memory.
"""

import warnings
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from landmarks.distributed import collectives
from landmarks.losses import Elementwise

PEAK = 0.2  # cells next to a target above this are weighted (Wang et al. 2019)
# Elements of a tile's maps. On a CPU a tile should stay in the cache; a GPU wants large products.
TILE = {"cpu": 3 * 2**19, "cuda": 2**25}
MIN_CHUNK = 128  # landmarks a chunk; below it, a tile has fewer images: thin products are slow


class PrecomputedGradient(torch.autograd.Function):
    """The scaled sum of losses of maps made by a last layer; see `with_gradient`."""

    @staticmethod
    def forward(ctx, compute, features, weight, bias):
        """Return the loss, a float32 scalar."""
        device = features.device.type
        dtype = features.dtype
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
        wanted = any(ctx.needs_input_grad)
        with torch.autocast(device, enabled=False):
            loss, scale, gradients = compute(features, weight, bias, dtype, wanted)
        if wanted:
            ctx.save_for_backward(*gradients)
            ctx.scale, ctx.dtypes = scale, (features.dtype, weight.dtype, bias.dtype)
        return loss * scale

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        """Scale the gradients that the forward pass computed."""
        scale = gradient * ctx.scale
        found = zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        return None, *((scale * value).to(dtype) for value, dtype in found)


def with_gradient(compute: Callable, features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return a loss, a float32 scalar, whose backward pass uses the gradients of `compute`.

    Args:
        compute: called once, without autocast and without a graph, as compute(features, weight,
            bias, dtype, wanted): `dtype` is that of the matrix products, `wanted` says whether a
            gradient is needed. Returns a sum of losses, the factor that turns the sum into the
            loss, and the sum's gradients, float32. These are with regard to features, weight and
            bias; None where none is needed.
        features: the last layer's input.
        weight, bias: the last layer's.
    """
    return PrecomputedGradient.apply(compute, features, weight, bias)


# torch.func.jvp imports a part of torch that still calls a deprecated function of torch.
warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)


def to_cells(points: Tensor, stride: float) -> Tensor:
    """Return input pixels as cells: cell 0 covers the pixels -0.5 to stride - 0.5."""
    return (points + 0.5) / stride - 0.5


def to_pixels(points: Tensor, stride: float) -> Tensor:
    """Undo `to_cells`."""
    return (points + 0.5) * stride - 0.5


def is_on_map(centres: Tensor, height: int, width: int) -> Tensor:
    """Say of each centre (..., 2), in cells, whether it is on the map; NaN is not."""
    x, y = centres.unbind(-1)
    return (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)


def profile(centres: Tensor, cells: int, sigma: Tensor) -> Tensor:
    """Return (B, cells, K), Gaussians with peak 1 at the real-valued centres (B, K), in cells.

    The target map of a landmark is the product of a profile along y and one along x.
    """
    cell = torch.arange(cells, device=centres.device, dtype=torch.float32)
    return torch.exp(-0.5 * ((cell[:, None] - centres[:, None]) / sigma) ** 2)


def dilate(profiles: Tensor) -> Tensor:
    """Return the largest of each cell (B, cells, K) and its two neighbours."""
    return functional.max_pool1d(profiles.transpose(1, 2), 3, 1, 1).transpose(1, 2)


def pointwise(elementwise: Elementwise, weight: float) -> Callable:
    """Return the function that takes the loss of one tile, between the matrix products.

    It takes maps (b, H, W, k) without their bias (k,), profiles along x (b, W, k) and y (b, H, k),
    the same dilated, and each map's weight (b, k). It returns the summed loss, float32, and its
    gradient, (b, H, W, k) in the maps' number format.

    Args:
        elementwise: a loss of `landmarks.losses`.
        weight: added to the weight 1 of cells on or next to a target's peak; 0: none are weighted.
    """

    def loss_and_gradient(maps, bias, along_x, along_y, dilated_x, dilated_y, counts):
        target = along_y[:, :, None] * along_x[:, None]
        weights = counts[:, None, None]
        if weight:
            # The dilation of a product of profiles is the product of the dilated profiles.
            near = dilated_y[:, :, None] * dilated_x[:, None] >= PEAK
            weights = weights * (1 + weight * near)

        def weighted(values: Tensor) -> Tensor:
            return elementwise(values, target) * weights

        # The loss of an element depends on that element alone: forward mode gives all derivatives
        # at once and, unlike a backward pass, keeps no intermediate tensors.
        values = maps.float() + bias
        losses, derivatives = torch.func.jvp(weighted, (values,), (torch.ones_like(values),))
        return losses.sum(), derivatives.to(maps.dtype)

    return loss_and_gradient


def choose_tile(batch: int, cells: int, landmarks: int, chunk: int | None, device: str):
    """Return (images, landmarks) a tile, and how many landmarks there are with padding.

    Args:
        batch, cells, landmarks: B, H * W and K.
        chunk: landmarks a tile; None: what suits the device.
        device: "cpu", "cuda" ...
    """
    room = max(1, TILE.get(device, TILE["cuda"]) // cells)
    if chunk is None:
        images = min(batch, max(1, room // min(MIN_CHUNK, landmarks)))
        most = min(landmarks, max(1, room // images))
        # Tiles of one size are compiled once. Of the sizes near `most`: the one with least padding.
        sizes = [k for k in range(most, max(1, most // 2) - 1, -1) if k % 8 == 0 or k == landmarks]
        chunk = min(sizes, key=lambda k: -(-landmarks // k) * k, default=most)
    else:
        chunk = min(chunk, landmarks)
        images = min(batch, max(1, room // chunk))
    return images, chunk, -(-landmarks // chunk) * chunk


def sum_over_tiles(features, weight, bias, dtype, wanted, *, centres, sigma, function, chunk):
    """Return what `landmarks.heatmaps.heatmap_loss.with_gradient` asks for; see `heatmap_loss`.

    A tile is some images and some landmarks. For each tile this computes maps, targets, loss and
    gradient, and keeps only the sums. It costs three matrix products, as plain autograd does, and
    the memory of one tile.
    """
    batch, channels, height, width = features.shape
    landmarks, cells = len(weight), height * width
    images, chunk, padded = choose_tile(batch, cells, landmarks, chunk, features.device.type)
    flat = features.permute(0, 2, 3, 1).reshape(batch, cells, channels).to(dtype)
    counts = is_on_map(centres, height, width)
    centres = torch.where(counts[..., None], centres, 0.0).float()
    # Sums over many cells must fit float16; the mean is taken at the end, in float32.
    shrink = 1 / (8 * batch)
    x, y = profile(centres[..., 0], width, sigma), profile(centres[..., 1], height, sigma)
    more = padded - landmarks
    parts = [
        functional.pad(part, (0, more)) for part in (x, y, dilate(x), dilate(y), shrink * counts)
    ]
    rows = functional.pad(weight, (0, 0, 0, more)).to(dtype)
    offsets = functional.pad(bias, (0, more)).float()
    loss = features.new_zeros((), dtype=torch.float32)
    # Written through views, so it must be contiguous; zeros_like of a view need not be.
    to_features = flat.new_zeros(flat.shape, dtype=torch.float32) if wanted else None
    to_rows = torch.zeros_like(rows, dtype=torch.float32) if wanted else None
    to_offsets = torch.zeros_like(offsets)
    for k in range(0, padded, chunk):
        some = slice(k, k + chunk)
        for first in range(0, batch, images):
            part = slice(first, first + images)
            values = flat[part].flatten(0, 1)
            maps = (values @ rows[some].T).unflatten(0, (-1, height, width))
            pieces = (values_of[part, ..., some].contiguous() for values_of in parts)
            added, gradient = function(maps, offsets[some], *pieces)
            loss += added
            if wanted:
                gradient = gradient.flatten(0, 2)
                accumulate(to_features[part].flatten(0, 1), gradient, rows[some])
                accumulate(to_rows[some], gradient.T, values)
                to_offsets[some] += gradient.sum(0, dtype=torch.float32)
    mean = 1 / (shrink * cells * collectives.divisor(counts.sum()))
    if not wanted:
        return loss, mean, None
    to_features = to_features.unflatten(1, (height, width)).permute(0, 3, 1, 2)
    return loss, mean, (to_features, to_rows[:landmarks], to_offsets[:landmarks])


def accumulate(sums: Tensor, left: Tensor, right: Tensor) -> None:
    """Add the product of two matrices to float32 sums, in place."""
    if left.dtype == sums.dtype:
        sums.addmm_(left, right)
    else:
        sums += left @ right


# Not compiled with the model: that would unroll the loop over chunks.
@torch.compiler.disable
def heatmap_loss(
    features: Tensor,
    weight: Tensor,
    bias: Tensor,
    centres: Tensor,
    sigma: Tensor,
    function: Callable,
    chunk: int | None = None,
) -> Tensor:
    """Return the mean loss, over cells, of a 1x1 convolution's heatmaps; a float32 scalar.

    Args:
        features: (B, C, H, W), best channels last.
        weight, bias: (K, C) and (K,).
        centres: (B, K, 2) in cells. Those that are NaN or outside the map are masked.
        sigma: of the targets, in cells; a scalar on the device.
        function: of `pointwise`, eager or compiled.
        chunk: landmarks held at once; None: what suits the device.
    """
    compute = partial(sum_over_tiles, centres=centres, sigma=sigma, function=function, chunk=chunk)
    return with_gradient(compute, features, weight, bias)
