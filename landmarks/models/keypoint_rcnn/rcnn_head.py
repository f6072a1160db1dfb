"""The head of Keypoint R-CNN: proposals, the face's box, and the landmarks in that box."""

import logging

import torch
from torch import Tensor, nn
from torchvision.models.detection import KeypointRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import fastrcnn_loss
from torchvision.ops import MultiScaleRoIAlign, roi_align

from landmarks.distributed import collectives, processes
from landmarks.errors import say_count
from landmarks.heatmaps.decoders import DECODERS
from landmarks.models.keypoint_rcnn import keypoint_maps
from landmarks.models.keypoint_rcnn.face_boxes import (
    MIN_SIDE,
    frame_image,
    frame_points,
    move_edges,
    tell_boxes,
)
from landmarks.models.model_protocols import Head
from landmarks.settings import DecoderName

log = logging.getLogger(__name__)
MIN_SCORE = 0.05  # of a face that counts as found, as in torchvision
MIN_SIGMA = 0.5  # cells: maps trained on targets of one cell are broader than one cell
FINEST_STRIDE = 4  # input pixels a cell of the finest map


class RcnnHead(Head):
    """Feature maps -> the sum of all losses, or the points in the best box of every image.

    In training, the face's box is that of the labelled points. A face whose points determine no
    box, as they are unlabelled or off the image, is left out of the loss. Landmarks are learned in
    boxes with randomly moved edges, as predicted boxes are not exact either. A point outside of a
    box is masked from that box's map. In prediction, the box with the highest score is used, or the
    whole image where no box is a face: `report` logs how often.

    torchvision's choice of boxes waits for the device, as their number differs between images.

    Args:
        network: its proposals and heads are taken over; it cannot be used afterwards.
        size: side of the input, in pixels.
        margin: share of the labelled points' extent added on every side to make the face's box.
        boxes: of each image, in which landmarks are learned.
        sigma: of the targets, see `keypoint_maps.encode`.
        decoder: a name in `landmarks.heatmaps.decoders`.
        start: (K, 2) input pixels, the shape in whose box landmarks are expected before training;
            None, or NaN: anywhere.
        chunk: landmarks held at once; None: what suits the device.

    Source: He et al., Mask R-CNN, ICCV 2017, section 5.
    """

    recordable = False

    def __init__(
        self,
        network: KeypointRCNN,
        size: int,
        margin: float,
        boxes: int,
        sigma: float,
        decoder: DecoderName,
        start=None,
        chunk: int | None = None,
    ):
        super().__init__()
        self.rpn, self.roi_heads = network.rpn, network.roi_heads
        self.rpn.fg_bg_sampler = Counted(self.rpn.fg_bg_sampler)
        self.predictor = self.roi_heads.keypoint_predictor.kps_score_lowres
        nn.init.zeros_(self.predictor.weight)  # before training it predicts `start`
        self.roi_heads.keypoint_predictor = None  # it would hold all maps at once
        self.size, self.margin, self.boxes = size, margin, boxes
        self.sigma, self.decoder, self.chunk = sigma, DECODERS[decoder], chunk
        if start is None:
            start = torch.full((len(self.predictor.bias), 2), torch.nan)
        self.register_buffer("start", torch.as_tensor(start, dtype=torch.float32).clone())
        self.seen = 0
        self.register_buffer("missed", torch.zeros((), dtype=torch.long), persistent=False)

    # Not compiled: the number of boxes differs between batches.
    @torch.compiler.disable
    def loss(self, features: list[Tensor], points: Tensor) -> Tensor:
        """Return the sum of the losses; `points` (B, K, 2) in input pixels, NaN unlabelled."""
        heads = self.roi_heads
        rows = tell_boxes(points, self.size, self.margin).nonzero()[:, 0]
        if len(rows) == 0:
            return self._nothing(features)
        if len(rows) < len(points):
            features, points = [values[rows] for values in features], points[rows]
        with torch.autocast(points.device.type, enabled=False):  # pixels need more than 8 bits
            images, maps = self._describe(features)
            faces = frame_points(points, self.size, self.margin)
            label = torch.ones(1, dtype=torch.long, device=points.device)
            targets = [{"boxes": face[None], "labels": label} for face in faces]
            proposals, losses = self.rpn(images, maps, targets)
            proposals, _, labels, offsets = heads.select_training_samples(proposals, targets)
            judged = self._judge(maps, proposals)
            found = fastrcnn_loss(*judged, labels, offsets)
            counts = self.rpn.fg_bg_sampler.count, sum(map(len, labels))
            losses = _weigh([[*losses.values()], [*found]], counts, points)
            # Not the proposals themselves: half of one may lie beside the face, and predicted
            # boxes are refined before landmarks are looked for in them.
            boxes = move_edges(faces, self.boxes, self.size)
        return sum(losses) + self._locate(self._look(maps, boxes), boxes, points)

    def _nothing(self, features: list[Tensor]) -> Tensor:
        """Return a loss of zero, where no face of a batch has a box.

        Other ranks may have some: they exchange counts and gradients, and wait for this one's.
        """
        nothing = self.predictor.bias
        if processes.world() > 1:
            _weigh([], (0, 0), nothing)
            collectives.divisor(nothing.new_zeros(()))
            return sum(0.0 * part.float().sum() for part in [nothing, *features])
        return 0.0 * nothing.sum()

    def rehearse(self, features: list[Tensor], points: Tensor) -> Tensor:
        """Return a loss with at least the memory and arithmetic of `loss`, without reading values.

        The choice of boxes depends on values, so here every box is the whole image.
        """
        heads, batch = self.roi_heads, len(points)
        with torch.autocast(points.device.type, enabled=False):
            _, maps = self._describe(features)
            proposed = [
                part.sum() for parts in self.rpn.head(list(maps.values())) for part in parts
            ]
            box = frame_image(points, self.size)
            judged = box.expand(batch, heads.fg_bg_sampler.batch_size_per_image, 4)
            pooled = pool_finest(heads.box_roi_pool, maps, judged)
            losses = [part.sum() for part in heads.box_predictor(heads.box_head(pooled))]
            boxes = box.expand(batch, self.boxes, 4)
            pooled = pool_finest(heads.keypoint_roi_pool, maps, boxes)
        values = heads.keypoint_head(pooled)
        return sum(proposed) + sum(losses) + self._locate(values, boxes, points)

    @torch.compiler.disable
    def decode(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return points (B, K, 2) in input pixels and their confidence (B, K), 0 to 1."""
        device = features[0].device.type
        with torch.autocast(device, enabled=False):
            images, maps = self._describe(features)
            whole = frame_image(maps["0"], self.size)
            candidates = [torch.cat([boxes, whole[None]]) for boxes in self.rpn(images, maps)[0]]
            boxes, is_found = self._choose(candidates, *self._judge(maps, candidates))
            boxes = torch.where(is_found[:, None], boxes, whole)
            self.seen += len(boxes)
            self.missed += (~is_found).sum()
        values, sigma = self._look(maps, boxes[:, None]), max(self.sigma, MIN_SIGMA)
        with torch.autocast(device, enabled=False):
            tiles = self._tiles(values, sigma)
            found = self.decoder.decode_tiles(tiles, len(boxes), len(self.predictor.bias), sigma)
        return keypoint_maps.from_box(found[0], boxes), found[1]

    def _tiles(self, values: Tensor, sigma: float):
        """Yield tiles of maps in boxes, from the features of `_look`; see `decode_tiles`."""
        weight, bias = self.predictor.weight.to(values.dtype), self.predictor.bias
        expected, device = self._expected(), values.device.type
        for some in keypoint_maps.split_landmarks(len(values), len(bias), self.chunk, device):
            row = weight[:, some], bias[some], expected[some]
            logits = keypoint_maps.find_logits(values, *row)
            shares = logits.flatten(2).softmax(2).view_as(logits)
            # Decoders expect Gaussians with peak 1; these have sum 1.
            yield slice(0, len(values)), some, shares * (2 * torch.pi * sigma**2)

    def report(self) -> None:
        """Log in how many images since the last report, of all ranks, no face was found."""
        counts = torch.stack([self.missed, self.missed.new_tensor(self.seen)])
        if collectives.are_joined():
            counts = collectives.reduce(counts)
        missed, seen = counts.tolist()
        if missed:
            log.warning(
                f"No face was found in {missed} of {say_count(seen, 'image')}: there the "
                f"points were looked for in the whole image."
            )
        self.seen = 0
        self.missed.zero_()

    def _describe(self, features: list[Tensor]) -> tuple[ImageList, dict[str, Tensor]]:
        """Return an ImageList, of which torchvision uses the sizes only, and its named maps."""
        maps = {str(i): features[i].float() for i in range(len(features))}
        side = _padded_sizes(maps, 1)[0]
        batch = features[0].new_empty(1).expand(len(features[0]), 3, *side)
        return ImageList(batch, [(self.size, self.size)] * len(batch)), maps

    def _judge(self, maps: dict[str, Tensor], boxes: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return logits (N, 2), of no face and of a face, and box refinements (N, 8)."""
        heads, sizes = self.roi_heads, _padded_sizes(maps, len(boxes))
        return heads.box_predictor(heads.box_head(heads.box_roi_pool(maps, boxes, sizes)))

    def _look(self, maps: dict[str, Tensor], boxes: Tensor) -> Tensor:
        """Return the features (B * P, C, 14, 14) of boxes (B, P, 4) that landmarks are found in."""
        heads, sizes = self.roi_heads, _padded_sizes(maps, len(boxes))
        with torch.autocast(boxes.device.type, enabled=False):
            # torchvision's pooling takes feature j to lie at stride * j. In a ResNet that is a
            # pixel's centre, and boxes are given by edges, half a pixel before.
            pooled = heads.keypoint_roi_pool(maps, list(boxes - 0.5), sizes)
        return heads.keypoint_head(pooled)

    def _locate(self, values: Tensor, boxes: Tensor, points: Tensor) -> Tensor:
        """Return the landmarks' loss in boxes (B, P, 4) from the features of `_look`."""
        centres = keypoint_maps.to_box(points.repeat_interleave(self.boxes, 0), boxes.flatten(0, 1))
        seen = values, self.predictor.weight, self.predictor.bias
        return keypoint_maps.keypoint_loss(*seen, centres, self.sigma, self._expected(), self.chunk)

    def _expected(self) -> Tensor:
        """Return the places of landmarks in the box of `start`, (K, 2) cells."""
        box = frame_points(self.start[None], self.size, self.margin)
        return keypoint_maps.to_box(self.start[None], box)[0]

    def _choose(self, candidates: list[Tensor], logits: Tensor, refinements: Tensor):
        """Return each image's refined box (B, 4) of the highest score, and if it is a face (B,)."""
        refined = self.roi_heads.box_coder.decode(refinements, candidates)[:, 1]
        scores = logits.softmax(1)[:, 1]
        counts = [len(boxes) for boxes in candidates]
        best = [part.argmax(0, keepdim=True) for part in scores.split(counts)]
        pairs = zip(best, refined.split(counts), scores.split(counts), strict=True)
        chosen = [(boxes[i], score[i]) for i, boxes, score in pairs]
        boxes = torch.cat([box for box, _ in chosen]).clamp(0, self.size)
        sides = boxes[:, 2:] - boxes[:, :2]
        scores = torch.cat([score for _, score in chosen])
        return boxes, (scores >= MIN_SCORE) & (sides >= MIN_SIDE).all(1)


class Counted:
    """A sampler of torchvision's that remembers of how many boxes its last loss is the mean."""

    def __init__(self, sampler):
        self.sampler, self.count = sampler, 0

    def __call__(self, labels: list[Tensor]):
        chosen = self.sampler(labels)
        if processes.world() > 1:  # else nobody asks, and the host would wait
            self.count = sum(int(part.sum()) for parts in chosen for part in parts)
        return chosen


def _weigh(losses: list[list[Tensor]], counts: tuple[int, ...], like: Tensor) -> list[Tensor]:
    """Return the losses of several means, each mean's by its share of all ranks' boxes.

    Args:
        losses: those of each mean; none where this rank has no boxes.
        counts: boxes that each is the mean of.
        like: on the device.
    """
    if processes.world() == 1:
        return [loss for part in losses for loss in part]
    shares = [n / collectives.divisor(torch.tensor(n, device=like.device)) for n in counts]
    return [share * loss for share, part in zip(shares, losses, strict=False) for loss in part]


def pool_finest(pool: MultiScaleRoIAlign, maps: dict[str, Tensor], boxes: Tensor) -> Tensor:
    """Pool boxes (B, P, 4) as `pool` does, but all from the finest map."""
    return roi_align(maps["0"], list(boxes), pool.output_size, 1.0, pool.sampling_ratio)


def _padded_sizes(maps: dict[str, Tensor], count: int) -> list[tuple[int, int]]:
    """Return the sides of images as the backbone has padded them.

    torchvision derives a map's stride from them, rounded to a power of 2. From the sides before
    padding it would be twice as large where padding is most of the image.
    """
    side = FINEST_STRIDE * maps["0"].shape[-1]
    return [(side, side)] * count
