"""Where what settings name has moved to: older checkpoints and recipes of users still find it."""

from typing import Any

_READERS = ("coco", "ibug", "synthetic", "table", "thousand", "wflw")
_BUILDERS = ("classic_unet", "regressor", "unet")
_OPTIMIZERS = ("adam", "adamw", "sgd")
_SCHEDULES = ("Plateau", "constant", "cosine", "one_cycle")
MOVED = {  # a `_target_` of before -> today's
    "landmarks.augment.Augment": "landmarks.augment.augmentation.Augment",
    "landmarks.models.keypoint_rcnn.keypoint_rcnn": (
        "landmarks.models.keypoint_rcnn.detector.keypoint_rcnn"
    ),
    **{
        f"landmarks.data.{x}.read_faces": f"landmarks.data.formats.{x}.read_faces" for x in _READERS
    },
    **{f"landmarks.models.landmarker.{x}": f"landmarks.models.builders.{x}" for x in _BUILDERS},
    **{f"landmarks.optimizers.{x}": f"landmarks.training.optimizers.{x}" for x in _OPTIMIZERS},
    **{f"landmarks.schedules.{x}": f"landmarks.training.schedules.{x}" for x in _SCHEDULES},
}


def rename_targets(settings: Any) -> Any:
    """Return settings, or a part of them, with every `_target_` by today's name."""
    if isinstance(settings, dict):
        return {
            key: MOVED.get(value, value)
            if key == "_target_" and isinstance(value, str)
            else rename_targets(value)
            for key, value in settings.items()
        }
    if isinstance(settings, list):
        return [rename_targets(value) for value in settings]
    return settings
