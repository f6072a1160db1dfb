"""From opened checkpoints to a module that takes photos, and to what its file says of itself."""

import torch
from torch import Tensor, nn

from landmarks import __version__
from landmarks.errors import UserError
from landmarks.export.photo_model import PhotoModel
from landmarks.geometry import BoxCrop
from landmarks.inference.ensemble import Ensemble, EnsembleName
from landmarks.inference.predictor import Predictor
from landmarks.models.heads import RegressionHead
from landmarks.models.heatmap_head import HeatmapHead

FORMAT = 1  # of the facts
KEPT = ("crop", "box_from", "box_margin", "pictured_region", "input_size")
OF_DATA = ("_target_", "exif", "one_based")
LICENCE = (
    "The program is MIT. The weights are for whoever may use the photos and labels that they were "
    "trained on, and the weights that training began from."
)


class PhotoEnsemble(nn.Module):
    """Several `PhotoModel` as one; see `landmarks.inference.ensemble.Ensemble`.

    Args:
        members: M of them.
        how: their points are combined.
        weights: (M, K): the share of a model in a point, 0 where it has not learnt it.
        certainty: "confidence", their mean, or "spread".
    """

    def __init__(
        self, members: list[nn.Module], how: EnsembleName, weights: Tensor, certainty: str
    ):
        super().__init__()
        self.members = nn.ModuleList(members)
        self.how, self.certainty = how, certainty
        shares = weights / weights.sum(0)  # NaN for a point that none has learnt
        self.register_buffer("shares", shares[:, None, :, None].clone(), persistent=False)

    def forward(self, images: Tensor, boxes: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return points (N, K, 2) in the photos' pixels and their certainty (N, K)."""
        found = [member(images, boxes) for member in self.members]
        points, sure = (torch.stack(parts) for parts in zip(*found, strict=True))
        if self.how == "median":
            ordered, count = points.sort(0).values, len(found)
            combined = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
        else:
            combined = (points.nan_to_num(0.0) * self.shares).sum(0)
        if self.certainty == "confidence":
            return combined, sure.mean(0)
        squares = (points.nan_to_num(0.0) - combined).square().sum(-1)
        known = (self.shares > 0).float()[..., 0]
        return combined, ((squares * known).sum(0) / known.sum(0)).sqrt()


def assemble(finder: Predictor | Ensemble) -> nn.Module:
    """Return what a checkpoint, or several as one, makes of photos.

    Raises:
        UserError: for a model whose head cannot be exported.
    """
    if isinstance(finder, Predictor):
        return _photo_model(finder)
    weights = torch.from_numpy(finder.weights)[:, None].repeat(1, finder.num_points)
    for share, unknown in zip(weights, finder.unknown, strict=True):
        share[unknown] = 0
    if finder.how == "median" and len({tuple(unknown) for unknown in finder.unknown}) > 1:
        raise UserError(
            "ensemble=median cannot be exported of models that have learnt different points; use "
            "ensemble=mean."
        )
    members = [_photo_model(member) for member in finder.members]
    return PhotoEnsemble(members, finder.how, weights, finder.certainty)


def _photo_model(predictor: Predictor) -> PhotoModel:
    head = predictor.model.head
    if not isinstance(head, RegressionHead | HeatmapHead):
        raise UserError(
            "A keypoint_rcnn is not exported: how many boxes it proposes, and which of them it "
            "keeps, depends on the photo, and no two runtimes agree on that to a pixel. Export a "
            "regression or a unet, and use keypoint_rcnn where torch is."
        )
    config = predictor.config
    crop = BoxCrop(config["box_margin"]) if config["crop"] == "box" else config["crop"]
    known = predictor.input_size, predictor.num_points, predictor.unlabelled
    return PhotoModel(predictor.model.float(), crop, *known)


def is_boxed(finder: Predictor | Ensemble) -> bool:
    """Say whether photos come with boxes."""
    members = finder.members if isinstance(finder, Ensemble) else [finder]
    return any(member.config["crop"] == "box" for member in members)


def state_facts(finder: Predictor | Ensemble, fp16: bool) -> dict:
    """Return what a file says of itself, plain JSON data."""
    config = {key: finder.config[key] for key in KEPT}
    if is_boxed(finder):
        members = finder.members if isinstance(finder, Ensemble) else [finder]
        boxed = next(member.config for member in members if member.config["crop"] == "box")
        config |= {key: boxed[key] for key in ("crop", "box_from", "box_margin")}
    data = finder.config["data"]
    return {
        "format": FORMAT,
        "version": __version__,
        "description": finder.description,
        "num_points": finder.num_points,
        "names": finder.layout.point_names(),
        "layout": finder.layout.to_dict(),
        "unlabelled": finder.unlabelled,
        "certainty": finder.certainty,
        "places": finder.places,
        "input_size": finder.input_size,
        "config": {**config, "data": {key: data[key] for key in OF_DATA if key in data}},
        "boxed": is_boxed(finder),
        "channels": "rgb",
        "weights": "fp16" if fp16 else "fp32",
        "val_mse": getattr(finder, "val_mse", None),
        "licence": LICENCE,
    }
