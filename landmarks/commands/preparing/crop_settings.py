"""The settings of a command that crops faces as training does."""

from dataclasses import dataclass
from typing import Annotated

from landmarks.data.crops.boxes import BoxSource
from landmarks.geometry import CropName
from landmarks.settings import Needs, NonNegative

BOXED = Needs("crop", "box")


@dataclass(frozen=True, kw_only=True)
class CropSettings:
    """Which part of an image is the model's input."""

    crop: CropName
    box_margin: Annotated[NonNegative, BOXED]
    box_from: Annotated[BoxSource, BOXED]
