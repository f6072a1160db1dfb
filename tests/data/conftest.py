"""The same known faces, written in every data format."""

import importlib
import json
from types import SimpleNamespace
from urllib.parse import quote

import cv2
import numpy as np
import pytest

from landmarks.errors import UserError

K = 98  # WFLW's; the others take any
FORMATS = ["ibug", "wflw", "coco", "dlib", "table-csv", "table-tsv", "table-parquet"]
FORMATS += ["points", "yolo", "cvat", "labelme", "label_studio", "mat_files", "ibug-signed"]
WFLW = "WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_{}.txt"
COCO = {
    f"{part}_{what}": place
    for part in ("train", "test")
    for what, place in (("annotations", f"{part}.json"), ("images", "images"))
}


@pytest.fixture
def parts():
    """Eight training and three test faces; NaN where unlabelled; numbers exact in float32.

    seen is 0 where a point is unlabelled, 1 where it is occluded, 2 where it is visible.
    """
    rng, parts = np.random.default_rng(0), {}
    for part, folder, count in (("train", "helen/trainset", 8), ("test", "lfpw/testset", 3)):
        points = rng.integers(4, 4 * 56, (count, K, 2)) / 4
        points[rng.random((count, K)) < 0.1] = np.nan
        points[0, -1] = np.nan
        low = rng.integers(0, 20, (count, 2)) / 2
        boxes = np.concatenate([low, low + rng.integers(60, 90, (count, 2)) / 2], axis=1)
        names = [f"{folder}/{i}ü.png" for i in range(count)]
        seen = np.random.default_rng(len(parts)).choice(
            [1, 2], (count, K), p=[0.2, 0.8]
        ) * ~np.isnan(points[:, :, 0])
        parts[part] = SimpleNamespace(names=names, points=points, boxes=boxes, seen=seen)
    return parts


def write_images(folder, parts):
    for i, name in enumerate(name for part in parts.values() for name in part.names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image = np.full((64, 60, 3), 60 + 10 * i, np.uint8)
        (folder / name).write_bytes(cv2.imencode(".png", image)[1].tobytes())


def write_ibug(root, parts, signed=False):
    """Write .pts files; with signed, as MERL-RAV's: occluded points below 0, missing ones -1 -1."""
    write_images(root, parts)
    for part in parts.values():
        for name, known, seen in zip(
            part.names, part.points + 1, part.seen[..., None], strict=True
        ):
            told = np.where(seen == 0, -1, np.where(seen == 1, -known, known))
            points = told if signed else known
            lines = "".join(f"{x} {y}\n" for x, y in points)
            text = f"version: 1\nn_points:  {len(points)}\n{{\n{lines}}}\n"
            (root / name).with_suffix(".pts").write_text(text)
    return {"root": str(root), **({"missing": "absolute"} if signed else {})}


def write_mat_files(root, parts):
    savemat = pytest.importorskip("scipy.io").savemat
    write_images(root, parts)
    for name, points in faces_of(parts):
        savemat((root / name).with_suffix(".mat"), {"pt2d": points.T + 1, "roi": np.ones((1, 4))})
    return {"root": str(root), "test_folders": ["testset"]}


def write_wflw(root, parts):
    write_images(root / "WFLW_images", parts)
    for key, part in parts.items():
        path = root / WFLW.format(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = zip(part.points, part.boxes, part.names, strict=True)
        path.write_text(
            "".join(" ".join(map(str, [*p.ravel(), *b, *"010000", n])) + "\n" for p, b, n in rows)
        )
    return {"root": str(root)}


def write_coco(root, parts):
    write_images(root / "images", parts)
    for key, part in parts.items():
        images = [{"id": 7 * i, "file_name": name} for i, name in enumerate(part.names)]
        faces = []
        for i, (points, (x0, y0, x1, y1)) in enumerate(zip(part.points, part.boxes, strict=True)):
            keypoints = np.hstack([np.nan_to_num(points), part.seen[i][:, None]]).ravel().tolist()
            box = [x0 + 0.5, y0 + 0.5, x1 - x0, y1 - y0]
            faces.append({"id": i, "image_id": 7 * i, "keypoints": keypoints, "bbox": box})
        content = {"images": images, "annotations": faces[::-1]}  # in any order
        (root / f"{key}.json").write_text(json.dumps(content))
    return {"root": str(root), **COCO}


def write_dlib(root, parts):
    write_images(root, parts)
    for key, part in parts.items():
        lines = ["<?xml version='1.0' encoding='UTF-8'?>", "<dataset>", "<images>"]
        for name, points, (x0, y0, x1, y1) in zip(part.names, part.points, part.boxes, strict=True):
            size = f"width='{x1 - x0}' height='{y1 - y0}'"
            lines.append(f"<image file='{name}'>")
            lines.append(f"<box top='{y0 + 0.5}' left='{x0 + 0.5}' {size}>")
            known = [(k, *p) for k, p in enumerate(points) if not np.isnan(p).any()]
            lines += [f"<part name='{k:02}' x='{x}' y='{y}'/>" for k, x, y in known]
            lines += ["</box>", "</image>"]
        (root / f"{key}.xml").write_text("\n".join([*lines, "</images>", "</dataset>"]))
    return {part: str(root / f"{part}.xml") for part in ("train", "test")}


def write_points(root, parts):
    write_images(root / "images", parts)
    for name, points in faces_of(parts):
        path = (root / "landmarks" / name).with_suffix(".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{len(points)}\n" + "".join(f"{x} {y}\n" for x, y in points))
    folders = {"root": str(root / "landmarks"), "images": str(root / "images")}
    return {**folders, "test_folders": ["testset"]}


def write_yolo(root, parts):
    for key, part in parts.items():
        write_images(root / "images" / key, {key: part})
        for i, (name, points) in enumerate(zip(part.names, part.points, strict=True)):
            size, (x0, y0, x1, y1) = np.array([60, 64]), part.boxes[i]
            box = np.array([(x0 + x1 + 1) / 2, (y0 + y1 + 1) / 2, x1 - x0, y1 - y0])
            seen = part.seen[i][:, None]
            shares = np.hstack([(np.nan_to_num(points) + 0.5) * (seen > 0) / size, seen])
            path = (root / "labels" / key / name).with_suffix(".txt")
            path.parent.mkdir(parents=True, exist_ok=True)
            numbers = [*(box / [*size, *size]), *shares.ravel()]
            with path.open("a") as file:
                file.write(" ".join(["0", *(f"{number:.7f}" for number in numbers)]) + "\n")
    text = f"path: ../moved\ntrain: images/train\ntest: images/test\nkpt_shape: [{K}, 3]\n"
    (root / "data.yaml").write_text(f"{text}names: [face]\n")
    return {"root": str(root)}


def write_cvat(root, parts):
    write_images(root, parts)
    for key, part in parts.items():
        lines = ["<?xml version='1.0' encoding='utf-8'?>", "<annotations><version>1.1</version>"]
        for i, (name, known, edges) in enumerate(drawn(part)):
            lines.append(f'<image id="{i}" name="{name}" width="60" height="64">')
            box = zip(("xtl", "ytl", "xbr", "ybr"), edges, strict=True)
            lines.append(f'<box label="face" {" ".join(f"""{k}="{v}" """ for k, v in box)}/>')
            lines.append('<skeleton label="face" occluded="0">')
            for k, (x, y) in known[::-1]:
                state = f'outside="0" occluded="{2 - part.seen[i, k]}"'
                lines.append(f'<points label="{k}" {state} points="{x},{y}"/>')
            lines.append('<points label="97" outside="1" points="0.00,0.00"/>' * (i == 0))
            lines += ["</skeleton>", "</image>"]
        (root / f"{key}.xml").write_text("\n".join([*lines, "</annotations>"]))
    return {part: str(root / f"{part}.xml") for part in ("train", "test")}


def write_labelme(root, parts):
    write_images(root, parts)
    for part in parts.values():
        for name, known, (x0, y0, x1, y1) in drawn(part):
            shapes = [
                {"label": f"p{k}", "points": [point], "shape_type": "point", "group_id": None}
                for k, point in known
            ]
            box = {"label": "face", "points": [[x1, y0], [x0, y1]], "shape_type": "rectangle"}
            content = {"shapes": [box, *shapes], "imagePath": name.rpartition("/")[2]}
            (root / name).with_suffix(".json").write_text(json.dumps(content))
    return {"root": str(root)}


def write_label_studio(root, parts):
    write_images(root, parts)
    for key, part in parts.items():
        tasks, size = [], {"original_width": 60, "original_height": 64, "image_rotation": 0}
        for name, known, (x0, y0, x1, y1) in drawn(part):
            box = {"x": x0 / 0.6, "y": y0 / 0.64, "width": (x1 - x0) / 0.6, "rotation": 0}
            box |= {"height": (y1 - y0) / 0.64, "rectanglelabels": ["face"]}
            results = [{**size, "id": "a", "type": "rectanglelabels", "value": box}]
            for k, (x, y) in known:
                value = {"x": x / 0.6, "y": y / 0.64, "width": 0.3, "keypointlabels": [f"{k}"]}
                results.append({**size, "type": "keypointlabels", "value": value, "parentID": "a"})
            address = f"/data/local-files/?d=photos/{quote(name)}"
            tasks.append({"data": {"image": address}, "annotations": [{"result": results}]})
        (root / f"{key}.json").write_text(json.dumps(tasks))
    return {part: str(root / f"{part}.json") for part in ("train", "test")}


def drawn(part):
    """Yield (name, [(k, [x, y])], box counted from the image's corner) of each face."""
    for name, points, box in zip(part.names, part.points, part.boxes + 0.5, strict=True):
        yield name, [(k, p.tolist()) for k, p in enumerate(points) if not np.isnan(p).any()], box


def faces_of(parts):
    """Return (name, points) of each face."""
    return [it for part in parts.values() for it in zip(part.names, part.points, strict=True)]


def columns_of(part):
    columns = {"image": part.names}
    for k in range(K):
        columns |= {f"x_{k}": part.points[:, k, 0], f"y_{k}": part.points[:, k, 1]}
    for i, name in enumerate(("box_x0", "box_y0", "box_x1", "box_y1")):
        columns[name] = part.boxes[:, i]
    return columns | {f"v_{k}": part.seen[:, k] for k in range(K)}


def write_table(root, parts, ending):
    import pandas as pd

    write_images(root, parts)
    for key, part in parts.items():
        table = pd.DataFrame(columns_of(part))
        path = root / f"{key}.{ending}"
        if ending == "parquet":
            pytest.importorskip("pyarrow")
            table.to_parquet(path)
        else:
            table.to_csv(path, sep={"csv": ",", "tsv": "\t"}[ending], index=False)
    return {part: str(root / f"{part}.{ending}") for part in ("train", "test")}


@pytest.fixture
def write():
    """Write faces in a format, write(name, root, parts); return its module and its settings."""

    def write(name, root, parts):
        kind, _, ending = name.partition("-")
        module = importlib.import_module(f"landmarks.data.formats.{kind}")
        if kind == "table":
            return module, write_table(root, parts, ending)
        if ending == "signed":
            return module, write_ibug(root, parts, signed=True)
        return module, globals()[f"write_{kind}"](root, parts)

    return write


@pytest.fixture(params=FORMATS)
def written(request, write, parts, tmp_path):
    module, settings = write(request.param, tmp_path, parts)
    return SimpleNamespace(name=request.param, parts=parts, module=module, settings=settings)


@pytest.fixture
def write_file(tmp_path):
    """Write a file of text or bytes, and return its path."""

    def write(name, text):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.fixture
def refuse():
    """Return the one sentence, about the file, with which reading it is refused."""

    def sentence(read, path):
        with pytest.raises(UserError) as refused:
            read(path)
        message = str(refused.value)
        assert str(path) in message and message.isprintable()
        return message

    return sentence
