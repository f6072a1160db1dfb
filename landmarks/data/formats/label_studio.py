"""`data=label_studio`: Label Studio's JSON export, key points in percent of each image."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from landmarks.data.caches.cache_folder import describe_source
from landmarks.data.caches.mapped_faces import map_faces, to_faces
from landmarks.data.faces import Faces, TrainingPath
from landmarks.data.reading.folder_walk import IMAGE_ENDINGS, ending
from landmarks.data.reading.json_items import read_items
from landmarks.data.reading.label_file_per_part import (
    FirstPixel,
    ImageFolders,
    find_file,
    find_images,
)
from landmarks.data.reading.named_points import (
    Box,
    Face,
    Shape,
    gather_faces,
    read_faces_named,
    take_number,
)
from landmarks.data.reading.reader_arguments import FileReading
from landmarks.data.reading.text_fields import parse_name
from landmarks.errors import UserError
from landmarks.settings import flat

VERSION = 2
UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")  # what Label Studio puts before an uploaded file's name
MAX_SIDE = 1 << 24  # pixels of an image
Several = Literal["first", "last"] | None


@flat
def read_faces(
    train: TrainingPath,
    test: str,
    *,
    folders: ImageFolders,
    several: Several = None,
    first_pixel: FirstPixel = 0.0,
    reading: FileReading,
) -> Faces:
    """Return the faces of a JSON or JSON-MIN export of Label Studio, image by image.

    Args:
        train, test: the JSON files; that of `test` need hold no points.
        folders: see `ImageFolders`. The end of an image's address in the export is its path there,
            without the eight hexadecimal digits that Label Studio puts before the name of an
            uploaded file.
        several: which of several annotations of one image counts; None: asked about.
        first_pixel: where the centre of the first pixel lies, in pixels.

    A face is what has one parent, a rectangle, or, without, all key points of an image; see
    `landmarks.data.reading.named_points`. A rectangle is a face's box.

    Raises:
        UserError: if there is no such file, it is malformed, or an image cannot be read.
    """
    path, part = find_file(train, test, "label_studio", reading), reading.part
    folder, setting = find_images(path, folders, part)
    chosen = {"images": str(folder.resolve()), "several": several, "first_pixel": first_pixel}
    source = {**describe_source(path, VERSION), "part": part, **chosen}
    arrays = map_faces(
        "label_studio",
        source,
        lambda: read_faces_named(str(path), lambda: _faces(path, folder, several), part, "face"),
        reading,
        first_pixel=first_pixel,
    )
    return to_faces(arrays, folder, str(path), reading, named_by=setting)


def _faces(path: Path, folder: Path, several: Several) -> Iterator[Face]:
    counts: dict[str, tuple[int, str]] = {}
    places = _Images(folder)
    for i, task in enumerate(read_items(path)):
        where = f"{path}, [{i}]"
        if not isinstance(task, dict):
            raise UserError(f"{where}: a task of Label Studio belongs here.")
        address = _find_address(task)
        if address is None:
            raise UserError(f"{where}: no image is named in its 'data'.")
        image = parse_name(places.find(address), where)
        shapes, boxes = [], []
        for k, result in _results(task, where, several):
            drawn = _read_result(result, f"{where}{k}")
            if isinstance(drawn, Box):
                boxes.append(drawn)
            elif drawn is not None:
                shapes.append(drawn)
        yield from gather_faces(image, shapes, boxes, counts) or [Face(image)]


def _find_address(task: dict) -> str | None:
    """Return the address of a task's image: the text in its data that names one."""
    data = task.get("data") if isinstance(task.get("data"), dict) else task
    texts = {key: value for key, value in data.items() if isinstance(value, str)}
    named = [texts[key] for key in ("image", "img", "url", "photo") if key in texts]
    named += [it for it in texts.values() if ending(urlsplit(it).path) in IMAGE_ENDINGS]
    return named[0] if named else None


class _Images:
    """Finds images by their addresses: the longest end of one that is a path below a folder."""

    def __init__(self, folder: Path):
        self.folder, self.skipped = folder, -1  # steps of the last address that led elsewhere

    def find(self, address: str) -> str:
        parts = urlsplit(address)
        local = parse_qs(parts.query).get("d")  # of Label Studio's local files
        path = unquote(local[0] if local else parts.path).replace("\\", "/")
        steps = [step for step in path.split("/") if step not in ("", ".", "..")]
        for i in range(len(steps)):
            bare = [*steps[i:-1], UPLOADED.sub("", steps[-1])]
            for name in ("/".join(steps[i:]), "/".join(bare)):
                if os.path.isfile(os.path.join(self.folder, name)):  # noqa: PTH113, PTH118
                    self.skipped = i
                    return name
        # It is reported missing where the one before it lies.
        return "/".join(steps[self.skipped :] if 0 <= self.skipped < len(steps) else steps[-1:])


def _results(task: dict, where: str, several: Several) -> Iterator[tuple[str, Any]]:
    """Yield the place, and what was drawn, of one annotation of a task."""
    if "annotations" not in task and "completions" not in task:  # JSON-MIN
        for key, listed in task.items():
            if isinstance(listed, list) and listed and isinstance(listed[0], dict):
                yield from ((f".{key}[{i}]", {"value": it, **it}) for i, it in enumerate(listed))
        return
    key = "annotations" if "annotations" in task else "completions"
    made = task[key] if isinstance(task[key], list) else []
    kept = [i for i, it in enumerate(made) if isinstance(it, dict) and not it.get("was_cancelled")]
    truths = [i for i in kept if made[i].get("ground_truth")]
    kept = truths if len(truths) == 1 else kept
    if len(kept) > 1 and several is None:
        raise UserError(
            f"{where}: the image has {len(kept)} annotations; data.several=first or "
            f"data.several=last says which of them counts."
        )
    for i in kept[-1:] if several == "last" else kept[:1]:
        results = made[i].get("result")
        if not isinstance(results, list):
            raise UserError(f"{where}.{key}[{i}]: a list 'result' is missing.")
        yield from ((f".{key}[{i}].result[{k}]", it) for k, it in enumerate(results))


def _read_result(result: Any, where: str) -> Shape | Box | None:
    """Return a key point or a box; None of what is neither."""
    value = result.get("value") if isinstance(result, dict) else None
    if not isinstance(value, dict) or "x" not in value or "y" not in value:
        return None
    width, height = (result.get(f"original_{side}") for side in ("width", "height"))
    if not all(type(it) in (int, float) and 0 < it < MAX_SIDE for it in (width, height)):
        raise UserError(f"{where}: original_width and original_height are missing.")
    if result.get("image_rotation"):
        raise UserError(
            f"{where}: the image was turned by {result['image_rotation']} degrees in Label Studio; "
            f"turn the file, and label it anew."
        )
    x, y = (take_number(value[axis], f"{where}.value.{axis}") for axis in "xy")
    x, y = _to_pixels(x, width, where), _to_pixels(y, height, where)
    label = _find_label(value)
    if "keypointlabels" in value or result.get("type") in ("keypointlabels", "keypoint"):
        if label is None:
            raise UserError(f"{where}.value: keypointlabels name the point; there is none.")
        return Shape(label, result.get("parentID"), [(x, y)], where)
    if "width" in value and "height" in value and not value.get("rotation"):
        far = take_number(value["width"], where), take_number(value["height"], where)
        wide, high = _to_pixels(far[0], width, where), _to_pixels(far[1], height, where)
        edges = x, y, take_number(x + wide, where), take_number(y + high, where)
        return Box(result.get("id"), tuple(edge - 0.5 for edge in edges), where)
    return None


def _to_pixels(percent: float, side: float, where: str) -> float:
    return take_number(percent * side / 100, where)


def _find_label(value: dict) -> str | None:
    labels = value.get("keypointlabels") or value.get("labels")
    return str(labels[0]) if isinstance(labels, list) and labels else None
