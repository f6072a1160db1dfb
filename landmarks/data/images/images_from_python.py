"""Images that a program hands over, in any of the usual forms, as faces."""

import os
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np

from landmarks.data.crops.boxes import have_size
from landmarks.data.faces import ExifName, Faces
from landmarks.data.images.photos import encode_names
from landmarks.errors import UserError

Channels = Literal["rgb", "bgr"]
FORMS = (
    "a path, a PIL image, a NumPy array (H, W, 3) uint8, or a torch tensor (3, H, W), uint8 or "
    "float of 0 to 1"
)


def gather_faces(
    images: Any,
    *,
    channels: Channels | None = None,
    boxes: np.ndarray | None = None,
    exif: ExifName = "rotate",
) -> Faces:
    """Return one face an image, of one image or a sequence of them; sizes may differ.

    Args:
        images: paths, PIL images, NumPy arrays (H, W, 3) or grey (H, W), torch tensors (3, H, W) or
            grey (1, H, W); also a whole array (N, H, W, 3) or tensor (N, 3, H, W).
        channels: order of the colours in arrays, which must be said; tensors are RGB if it is not.
        boxes: (N, 4) x0, y0, x1, y1 of the faces, or (4,) of a single image's face.
        exif: see `Faces`; it concerns paths and PIL images.

    Raises:
        UserError: for what is no image, or a path without a file, naming which.
    """
    if channels not in (None, *get_args(Channels)):
        raise UserError(f"channels={channels!r}: there are channels='rgb' and channels='bgr'.")
    listed = _listed(images)
    if not listed:
        raise UserError("There are no images to predict: the sequence is empty.")
    names, pixels = [], []
    for index, image in enumerate(listed):
        if isinstance(image, str | os.PathLike):
            if not os.fspath(image):
                raise UserError(f"Image {index} is an empty text: give the path of an image.")
            if Path(image).is_dir():
                raise UserError(
                    f"{image} (number {index}) is a folder: give its images, such as "
                    f"sorted(pathlib.Path('{image}').glob('*.jpg'))."
                )
            if not Path(image).is_file():
                raise UserError(f"There is no image {image} (number {index}): correct the path.")
            names.append(os.fspath(image))
            pixels.append(None)
        else:
            names.append(f"image {index}")
            pixels.append(_to_bgr(image, index, channels, exif))
    if boxes is not None:
        boxes = _check_boxes(boxes, len(listed))
    kept = None if all(image is None for image in pixels) else pixels
    stored = {"source": "the images", "boxes": boxes, "exif": exif, "pixels": kept}
    return Faces(Path(), encode_names(names, "."), **stored)


def _check_boxes(boxes: Any, count: int) -> np.ndarray:
    """Return boxes (N, 4) float32 of so many images."""
    try:
        boxes = np.atleast_2d(np.asarray(boxes, np.float32))
    except (TypeError, ValueError) as error:
        raise UserError(
            f"boxes is no table of numbers: give [[x0, y0, x1, y1], ...], one for each image, not "
            f"{str(boxes)[:80]}."
        ) from error
    if boxes.shape != (count, 4):
        raise UserError(
            f"boxes is {boxes.shape}, and {count} images need ({count}, 4): x0, y0, x1, y1 of each."
        )
    wrong = np.flatnonzero(~(np.isfinite(boxes).all(1) & have_size(boxes)))
    if len(wrong):
        raise UserError(
            f"Box {wrong[0]}, {boxes[wrong[0]].tolist()}, has no size: give x0, y0, x1, y1, finite "
            f"numbers, left before right and top before bottom."
        )
    return boxes


@contextmanager
def own_threads() -> Iterator[None]:
    """Leave OpenCV's number of threads as it was: the program around may count on it."""
    threads = cv2.getNumThreads()
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _listed(images: Any) -> Sequence:
    """Return the images one by one, whether there is one or a sequence or a whole array of them."""
    if isinstance(images, str | os.PathLike) or hasattr(images, "getexif"):
        return [images]
    if hasattr(images, "shape") and hasattr(images, "ndim"):
        return list(images) if images.ndim == 4 else [images]
    try:
        if isinstance(images, bytes | bytearray | Set | Mapping):  # numbers, or in no order
            raise TypeError
        return list(images)
    except TypeError:
        raise UserError(f"{_name_of(images)} is no image: give {FORMS}.") from None


def _name_of(value: Any) -> str:
    return (
        "None, as cv2.imread gives for what it cannot read,"
        if value is None
        else type(value).__name__
    )


def _to_bgr(image: Any, index: int, channels: Channels | None, exif: ExifName) -> np.ndarray:
    """Return the image as (H, W, 3) uint8 BGR."""
    if hasattr(image, "getexif"):
        array, channels = _from_pil(image, index, exif), "rgb"
    elif hasattr(image, "detach"):
        array, channels = _from_tensor(image, index), channels or "rgb"
    elif isinstance(image, np.ndarray):
        array = image
    else:
        raise UserError(f"Image {index} is {_name_of(image)}: give {FORMS}.")
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim == 3 and array.dtype.kind in "fiub" and array.dtype != np.uint8:
        raise UserError(
            f"Image {index} is an array of {array.dtype}{_say_values(array)}: give uint8 of 0 to "
            f"255{_advise(array)}."
        )
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        shape = tuple(image.shape)
        raise UserError(f"Image {index} is {array.dtype} {shape}: give {FORMS}.")
    if 0 in array.shape:
        raise UserError(f"Image {index} has no pixels: its shape is {tuple(image.shape)}.")
    if array.shape[2] == 1:
        return np.repeat(array, 3, axis=2)
    if channels not in ("rgb", "bgr"):
        raise UserError(
            f"Image {index} is an array, and its colours may stand in either order: say "
            f"channels='bgr' (OpenCV) or channels='rgb' (PIL, matplotlib)."
        )
    array = array[..., :3]
    return np.ascontiguousarray(array if channels == "bgr" else array[..., ::-1])


def _from_pil(image: Any, index: int, exif: ExifName) -> np.ndarray:
    if image.mode[0] in "IF":  # which PIL converts by cutting off all above 255
        raise UserError(
            f"Image {index} is a PIL image of mode {image.mode}, more than 8 bits: give its path."
        )
    turned = image
    try:
        if exif == "rotate":
            from PIL import ImageOps  # whoever has an image of PIL has PIL

            turned = ImageOps.exif_transpose(image)
        return np.asarray(turned.convert("RGB"))
    except (OSError, SyntaxError) as error:  # PIL decodes only now
        raise UserError(f"Image {index} cannot be decoded ({error}): restore it.") from error


def _from_tensor(image: Any, index: int) -> np.ndarray:
    values = image.detach().cpu()
    array = (values.float() if image.is_floating_point() else values).numpy()
    if array.ndim == 3:
        array = array.transpose(1, 2, 0)
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f" or not (array.min(initial=0) >= 0 and array.max(initial=0) <= 1):
        raise UserError(
            f"Image {index} is a tensor of {image.dtype}{_say_values(array)}: give uint8 of 0 to "
            f"255, or float of 0 to 1, before any normalisation."
        )
    return np.rint(array * 255).astype(np.uint8)


def _say_values(array: np.ndarray) -> str:
    """Return in words what the values of an image of another type are."""
    if not array.size:
        return ""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return " with values that are not finite"
    return f" with values from {array.min():.4g} to {array.max():.4g}"


def _advise(array: np.ndarray) -> str:
    """Return in words how an image of another type becomes uint8, where its values say so."""
    if not array.size or not np.isfinite(array).all() or array.min() < 0:
        return ""
    if array.dtype.kind == "b" or (array.dtype.kind == "f" and array.max() <= 1):
        return ", such as (255.0 * image).round().astype('uint8')"
    return ", such as image.round().astype('uint8')" if array.max() <= 255 else ""
