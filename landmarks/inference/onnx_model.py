"""An exported model as a finder of points. Imports no torch."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from landmarks.data.crops.crop import blacken, read_reduced
from landmarks.data.faces import ExifName, Faces, OnError
from landmarks.distributed import processes
from landmarks.distributed.deal_work import deal
from landmarks.errors import UnreadableImages, UserError
from landmarks.geometry import BoxCrop, Crop
from landmarks.inference.face_framing import frame_for
from landmarks.inference.finder_protocol import Framing, Rows
from landmarks.layout import Layout
from landmarks.machine import count_cores
from landmarks.settings import DeviceName, Threads

MISSING = "{path}: ONNX files need onnxruntime: pip install onnxruntime."
PROVIDERS = {
    "cuda": ["CUDAExecutionProvider"],
    "mps": ["CoreMLExecutionProvider"],
    "cpu": ["CPUExecutionProvider"],
}


class _Source(NamedTuple):
    faces: Faces
    crop: Crop | BoxCrop


class PhotoBatches:
    """The batches of all faces, in order; see `landmarks.data.batches.loader.Batches`."""

    def __init__(
        self,
        faces: Faces,
        crop: Crop | BoxCrop,
        batch_size: int,
        on_error: OnError,
        dealt: bool = False,
    ):
        self.source, self.batch_size, self.on_error = _Source(faces, crop), batch_size, on_error
        self.dealt = dealt
        self.unreadable: set[int] = set()

    def __len__(self) -> int:
        """Batches of all faces."""
        return -(-len(self.source.faces) // self.batch_size)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the rows of each batch, or of this rank's ones."""
        count = len(self.source.faces)
        starts = range(0, count, self.batch_size)
        for first in deal(starts) if self.dealt else starts:
            yield np.arange(first, min(first + self.batch_size, count))


class OnnxModel:
    """Finds points with a file of `landmarks export`, by onnxruntime.

    Args:
        path: of the file.
        device: "auto": a GPU if onnxruntime has one.
        threads: that compute on a CPU; None and "auto": onnxruntime's choice, of several processes
            an equal share of the cores.

    Attributes are those of `landmarks.inference.finder_protocol.Finder`.

    Raises:
        UserError: if it is no file of this program, or onnxruntime is not there.
    """

    def __init__(self, path: Path, *, device: DeviceName = "auto", threads: Threads | None = None):
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError(MISSING.format(path=path)) from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if isinstance(threads, int):
            options.intra_op_num_threads = threads
        elif processes.local_world() > 1:  # onnxruntime would take all cores for each process
            options.intra_op_num_threads = max(1, count_cores() // processes.local_world())
        providers = _choose_providers(device, onnxruntime.get_available_providers())
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # onnxruntime has a dozen kinds of its own
            raise UserError(
                f"{path} is damaged or no ONNX file ({str(error).splitlines()[0][:120]}); export "
                f"it again."
            ) from error
        facts = _read_facts(self.session, path)
        self.facts = facts
        self.layout = Layout(**facts["layout"])
        self.num_points: int = facts["num_points"]
        self.unlabelled: list[int] = facts["unlabelled"]
        self.certainty: str = facts["certainty"]
        self.config: dict = facts["config"]
        self.exif: ExifName = "rotate"  # whatever the labels trained on referred to
        self.input_size: int = facts["input_size"]
        self.places: dict | None = facts.get("places")
        self.val_mse: float | None = facts["val_mse"]
        self.kind = f"{facts['description'].partition(',')[0]}, exported"
        self.description = f"{facts['description']}, exported"

    def sees(self, detected: bool) -> tuple:
        """Return what its batches depend on: no other model shares them."""
        return (id(self),)

    def batches(self, faces: Faces, framing: Framing) -> PhotoBatches:
        """Return the batches of all faces; see `Predictor.batches`."""
        if framing.workers not in ("auto", 0):
            raise UserError(
                f"workers={framing.workers} changes nothing: an exported model reads its photos in "
                f"the process that computes; leave it out."
            )
        faces, crop = frame_for(self, faces, framing)
        return PhotoBatches(faces, crop, framing.batch_size, framing.on_error, framing.dealt)

    def predict(self, batches: PhotoBatches) -> Iterator[tuple[Rows, np.ndarray, np.ndarray]]:
        """Yield each batch, points (B, K, 2) in original pixels and certainty (B, K), float32."""
        for rows in batches:
            points = np.empty((len(rows), self.num_points, 2), np.float32)
            sure = np.empty(points.shape[:2], np.float32)
            alike: dict[tuple, list] = {}
            for i, row in enumerate(rows.tolist()):
                image, reduced = self._read(batches, row)
                image, corner = self._cut(batches, row, image)
                alike.setdefault((image.shape, reduced), []).append((i, image, corner))
            for (_, reduced), members in alike.items():
                places = [i for i, _, _ in members]
                images = np.stack([image for _, image, _ in members])
                corners = np.float32([corner for *_, corner in members])
                boxes = self._boxes(batches, rows[places])
                found, known = self.run(images[..., ::-1], boxes)
                points[places] = (found + 0.5) * np.float32(reduced) - 0.5 + corners[:, None]
                scale = math.sqrt(math.prod(reduced)) if self.certainty == "spread" else 1
                sure[places] = known * scale
            points[:, self.unlabelled] = 0  # where nobody knows, as other models guess
            yield Rows(rows), points, sure

    def run(self, images: np.ndarray, boxes: np.ndarray | None = None) -> tuple:
        """Return points (N, K, 2) in the pixels of photos (N, H, W, 3) RGB, and certainty."""
        given = {"images": np.ascontiguousarray(images)}
        if self.facts["boxed"]:
            given["boxes"] = np.float32(boxes)
        return tuple(self.session.run(None, given))

    def _read(self, batches: PhotoBatches, row: int) -> tuple[np.ndarray, tuple[int, int]]:
        """Return the photo (H, W, 3) BGR and by how much its x and y are reduced."""
        faces, crop = batches.source
        image, reduced = None if faces.pixels is None else faces.pixels[row], (1, 1)
        if image is None:
            # Boxes are followed in the original's pixels, whose grid of blocks is the file's own.
            size = None if isinstance(crop, BoxCrop) else self.input_size
            image, reduced = read_reduced(faces.path(row), crop, size, faces.exif)
        if image is not None:
            return image, reduced
        if batches.on_error == "stop":
            raise UnreadableImages(
                f"Unreadable image {faces.path(row)}: restore it, or go on without it with "
                f"data.on_error=skip.",
                [faces.path(row)],
            )
        batches.unreadable.add(row)
        return np.zeros((8, 8, 3), np.uint8), (1, 1)

    def _cut(
        self, batches: PhotoBatches, row: int, image: np.ndarray
    ) -> tuple[np.ndarray, tuple[int, int]]:
        """Return the square of a face for a file that takes whole photos, and its corner's x, y."""
        faces, crop = batches.source
        if self.facts["boxed"] or not isinstance(crop, BoxCrop):
            return image, (0, 0)
        left, top, right, bottom = np.rint(faces.boxes[row]).astype(int).tolist()
        side = max(right - left, bottom - top, 2)
        height, width = image.shape[:2]
        square = np.zeros((side, side, 3), np.uint8)  # black where there is no photo
        x, y = slice(max(0, left), left + side), slice(max(0, top), top + side)
        part = image[y, x] if left < width and top < height else image[:0, :0]
        at_y, at_x = max(0, -top), max(0, -left)
        square[at_y : at_y + part.shape[0], at_x : at_x + part.shape[1]] = part
        blacken(square, crop.shown)
        return square, (left, top)

    def _boxes(self, batches: PhotoBatches, rows: np.ndarray) -> np.ndarray | None:
        """Return the boxes (n, 4) that the file widens by its own margin to those framed."""
        faces, crop = batches.source
        if not (self.facts["boxed"] and isinstance(crop, BoxCrop)):
            return None
        boxes = np.asarray(faces.boxes[rows], np.float64)
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2
        sides = (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True)
        half = sides / 2 * (1 + 2 * crop.margin) / (1 + 2 * self.config["box_margin"])
        return np.hstack([middle - half, middle + half])


def _choose_providers(device: DeviceName, there: list[str]) -> list:
    """Return onnxruntime's names of the devices, or (name, options): each process has its GPU."""
    wanted = PROVIDERS["cuda"] if device == "auto" else PROVIDERS[device]
    if device != "auto" and wanted[0] not in there:
        usable = [name for name, providers in PROVIDERS.items() if providers[0] in there]
        raise UserError(
            f"device={device}: this onnxruntime has none; use device="
            f"{' or device='.join([*usable, 'auto'])}."
        )
    names = [name for name in dict.fromkeys([*wanted, *PROVIDERS["cpu"]]) if name in there]
    if processes.world() == 1:
        return names
    own = {"device_id": processes.local_rank()}
    return [(name, own) if name in PROVIDERS["cuda"] else name for name in names]


def _read_facts(session: Any, path: Path) -> dict:
    """Return what the file says of itself.

    Raises:
        UserError: if it is another program's.
    """
    text = session.get_modelmeta().custom_metadata_map.get("landmarks")
    try:
        facts = json.loads(text or "")
        Layout(**facts["layout"])
        for name in ("num_points", "unlabelled", "certainty", "config", "input_size", "boxed"):
            facts[name]
        inputs = {"images", "boxes"} if facts["boxed"] else {"images"}
        if {given.name for given in session.get_inputs()} != inputs:
            raise ValueError
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is an ONNX file that `landmarks export` has not written; export a checkpoint "
            f"with format=onnx."
        ) from error
    if facts["format"] > 1:
        raise UserError(f"{path} was written by a newer landmarks; update this one.")
    return facts
