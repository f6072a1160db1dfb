"""Where what settings name has moved to: older checkpoints and recipes of users still find it."""

from typing import Any

_READERS = ("coco", "ibug", "synthetic", "table", "thousand", "wflw")
_BUILDERS = ("classic_unet", "regressor", "unet")
_OPTIMIZERS = ("adam", "adamw", "sgd")
_SCHEDULES = {
    "Plateau": "Plateau",
    "constant": "Constant",
    "cosine": "Cosine",
    "one_cycle": "OneCycle",
}
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
    **{
        f"landmarks.{room}schedules.{old}": f"landmarks.training.schedules.{new}"
        for room in ("", "training.")
        for old, new in _SCHEDULES.items()
        if room == "" or old != new
    },
}


def rename_targets(settings: Any) -> Any:
    """Return settings, or a part of them, with every `_target_` by today's name."""
    if isinstance(settings, dict):
        renamed = {key: rename_targets(value) for key, value in settings.items()}
        target = settings.get("_target_")
        if isinstance(target, str):
            renamed["_target_"] = MOVED.get(target, target)
            if target in MOVED and ".schedules." in target:  # was called, and is built now
                renamed.pop("_partial_", None)
        return renamed
    if isinstance(settings, list):
        return [rename_targets(value) for value in settings]
    return settings
