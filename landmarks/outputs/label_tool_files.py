"""Predictions as files of labelling tools, written face by face, in place when they are whole."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple, Protocol
from xml.sax.saxutils import quoteattr

import numpy as np

from landmarks.files import aside, remove_folder, writing

FormatName = Literal["coco", "pts", "cvat", "labelme"]
PLACES = {"coco": "coco.json", "pts": "pts", "cvat": "cvat.xml", "labelme": "labelme"}
NOWHERE = "-1.000 -1.000"  # of a .pts file, as MERL-RAV marks a point without a place


class Labelled(NamedTuple):
    """A face: its image's name and size (width, height), and points (K, 2), NaN where unknown.

    Points are pixels of the image, the first one's centre being 0, 0.
    """

    image: str
    size: tuple[int, int]
    points: np.ndarray


class Labels(Protocol):
    """Takes faces, those of one image beside each other, and is closed at the end."""

    def add(self, face: Labelled) -> None:
        """Write a face."""

    def close(self) -> None:
        """Write what is left."""


@contextmanager
def label_files(
    kind: FormatName, folder: Path, names: Sequence[str], photos: Path
) -> Iterator[Labels]:
    """Yield what writes faces as a tool's files; they appear when the context is left well.

    Args:
        kind: "coco": coco.json; "pts": pts/NAME.pts, counted from 1 as 300-W is; "cvat": cvat.xml,
            CVAT for images 1.1, a skeleton a face; "labelme": labelme/NAME.json.
        folder: where they go.
        names: of the K points.
        photos: the folder that the images' names start from.

    Raises:
        UserError: if they cannot be written.
    """
    path = folder / PLACES[kind]
    with aside(path) as part, writing(path):
        made = {
            "coco": lambda: Coco(part, names),
            "pts": lambda: Pts(part),
            "cvat": lambda: Cvat(part, names),
            "labelme": lambda: Labelme(part, names, photos, path),
        }[kind]()
        try:
            yield made
        finally:
            made.close()
        if path.is_dir():
            remove_folder(path)
        part.replace(path)


class Coco:
    """COCO keypoints; boxes are those of the points, counted from the image's corner."""

    def __init__(self, path: Path, names: Sequence[str]):
        self.names, self.image, self.images, self.faces = list(names), None, 0, 0
        with ExitStack() as opened:
            self.listed = opened.enter_context(aside(path))  # images, until all are known
            self.path, self.opened = path, opened.pop_all()
        self.file = self.opened.enter_context(path.open("w", encoding="utf-8"))
        self.others = self.opened.enter_context(self.listed.open("w", encoding="utf-8"))
        self.file.write('{"annotations": [')

    def add(self, face: Labelled) -> None:
        """Write a face."""
        if face.image != self.image:
            self.image, self.images = face.image, self.images + 1
            described = {"id": self.images, "file_name": face.image}
            described |= dict(zip(("width", "height"), face.size, strict=True))
            self.others.write(f"{', ' * (self.images > 1)}{json.dumps(described)}")
        known = np.isfinite(face.points).all(1)
        self.faces += 1
        x0, y0, x1, y1 = _box(face.points)
        numbers = [
            number
            for (x, y), seen in zip(face.points.tolist(), known.tolist(), strict=True)
            for number in ((round(x, 3), round(y, 3), 2) if seen else (0, 0, 0))
        ]
        written = {
            "id": self.faces,
            "image_id": self.images,
            "category_id": 1,
            "keypoints": numbers,
            "num_keypoints": int(known.sum()),
            "bbox": [round(x0 + 0.5, 3), round(y0 + 0.5, 3), round(x1 - x0, 3), round(y1 - y0, 3)],
            "area": round((x1 - x0) * (y1 - y0), 3),
            "iscrowd": 0,
        }
        self.file.write(f"{', ' * (self.faces > 1)}\n{json.dumps(written)}")

    def close(self) -> None:
        """Write the images and what the points are."""
        with self.opened:
            self.others.close()
            category = {"id": 1, "name": "face", "supercategory": "person"}
            category |= {"keypoints": self.names, "skeleton": []}
            self.file.write(f'], "categories": {json.dumps([category])}, "images": [')
            with self.listed.open(encoding="utf-8") as images:
                while text := images.read(1 << 20):
                    self.file.write(text)
            self.file.write("]}\n")


class Pts:
    """A .pts file an image, in the tree of its images, as 300-W has it: the first pixel is 1, 1."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir()

    def add(self, face: Labelled) -> None:
        """Write a face."""
        path = _beside(self.folder, face.image, ".pts")
        rows = [
            f"{x + 1:.3f} {y + 1:.3f}" if x == x and y == y else NOWHERE
            for x, y in face.points.tolist()
        ]
        lines = ["version: 1", f"n_points: {len(rows)}", "{", *rows, "}", ""]
        path.write_text("\n".join(lines), encoding="utf-8")

    def close(self) -> None:
        """Do nothing: each file is whole."""


class Cvat:
    """CVAT for images 1.1: each face a skeleton, whose unknown points are outside."""

    def __init__(self, path: Path, names: Sequence[str]):
        self.names, self.image, self.count = [quoteattr(name) for name in names], None, 0
        self.file = path.open("w", encoding="utf-8")
        self.file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n')
        inner = "".join(_label(name, "points", "<parent>face</parent>") for name in names)
        labels = f"<labels>{_label('face', 'skeleton')}{inner}</labels>"
        self.file.write("  <version>1.1</version>\n")
        self.file.write(f"  <meta><task><name>landmarks</name>{labels}</task></meta>\n")

    def add(self, face: Labelled) -> None:
        """Write a face."""
        if face.image != self.image:
            self._end_image()
            width, height = face.size
            self.file.write(
                f'  <image id="{self.count}" name={quoteattr(face.image)} width="{width}" '
                f'height="{height}">\n'
            )
            self.image, self.count = face.image, self.count + 1
        self.file.write('    <skeleton label="face" source="auto" z_order="0">\n')
        for name, (x, y) in zip(self.names, face.points.tolist(), strict=True):
            is_known = x == x and y == y
            place = f"{x:.3f},{y:.3f}" if is_known else "0,0"
            self.file.write(
                f'      <points label={name} source="auto" outside="{int(not is_known)}" '
                f'occluded="0" points="{place}"></points>\n'
            )
        self.file.write("    </skeleton>\n")

    def _end_image(self) -> None:
        if self.image is not None:
            self.file.write("  </image>\n")

    def close(self) -> None:
        """End the file."""
        with self.file:
            self._end_image()
            self.file.write("</annotations>\n")


class Labelme:
    """A JSON file an image, in the tree of its images; an unknown point has no shape."""

    def __init__(self, folder: Path, names: Sequence[str], photos: Path, final: Path):
        self.folder, self.names, self.photos, self.final = folder, names, photos, final
        self.faces: list[Labelled] = []  # of one image
        folder.mkdir()

    def add(self, face: Labelled) -> None:
        """Take a face, and write the image before if this is of another."""
        if self.faces and self.faces[0].image != face.image:
            self._write()
        self.faces.append(face)

    def _write(self) -> None:
        image, (width, height), _ = self.faces[0]
        path = _beside(self.folder, image, ".json")
        place = _beside(self.final, image, ".json", make=False).parent.resolve()
        several = len(self.faces) > 1
        shapes = [
            {
                "label": name,
                "points": [[round(x, 3), round(y, 3)]],
                "group_id": group if several else None,
                "description": "",
                "shape_type": "point",
                "flags": {},
            }
            for group, face in enumerate(self.faces)
            for name, (x, y) in zip(self.names, face.points.tolist(), strict=True)
            if x == x and y == y
        ]
        content = {
            "version": "5.0.0",
            "flags": {},
            "shapes": shapes,
            "imagePath": Path(os.path.relpath((self.photos / image).resolve(), place)).as_posix(),
            "imageData": None,
            "imageHeight": height,
            "imageWidth": width,
        }
        path.write_text(json.dumps(content, indent=1), encoding="utf-8")
        self.faces = []

    def close(self) -> None:
        """Write the last image."""
        if self.faces:
            self._write()


def _label(name: str, kind: str, more: str = "") -> str:
    escaped = quoteattr(name)[1:-1]
    return f"<label><name>{escaped}</name><type>{kind}</type><attributes/>{more}</label>"


def _beside(folder: Path, image: str, suffix: str, make: bool = True) -> Path:
    """Return where a file about an image stands in a folder that has the images' tree."""
    inside = [part for part in PurePosixPath(image).parts if part not in ("/", "..")]
    path = folder.joinpath(*inside)
    path = path.with_name(path.stem + suffix)
    if make:
        path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _box(points: np.ndarray) -> list[float]:
    if not np.isfinite(points).all(1).any():
        return [0.0, 0.0, 0.0, 0.0]
    return [*np.nanmin(points, 0).tolist(), *np.nanmax(points, 0).tolist()]
