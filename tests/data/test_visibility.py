"""Which points are occluded survives reading in any format; data.occluded=mask unlabels them."""

import json

import cv2
import numpy as np
import pytest
from refusals import refused

from landmarks.data.formats import coco, ibug, table, thousand, yolo

POINTS = np.array([[[10, 12], [20, 11], [15, 18]], [[9, 13], [21, 12], [14, 20]]], float)
VISIBLE = np.array([[2, 1, 2], [1, 0, 2]])
COCO = {f"{part}_{what}": "." for part in ("train", "test") for what in ("annotations", "images")}


def write_images(root):
    for i in range(2):
        cv2.imwrite(str(root / f"{i}.png"), np.full((32, 40, 3), 90, np.uint8))


def write_coco(root):
    keypoints = np.dstack([POINTS, VISIBLE]) * (VISIBLE > 0)[:, :, None]
    images = [{"id": i, "file_name": f"{i}.png"} for i in range(2)]
    faces = [{"image_id": i, "keypoints": keypoints[i].ravel().tolist()} for i in range(2)]
    (root / "a.json").write_text(json.dumps({"images": images, "annotations": faces}))
    return coco.read_faces, {"root": str(root), **COCO, "train_annotations": "a.json"}


def write_table(root, codes=VISIBLE, hidden="missing"):
    header = ["file_name", *(f"{axis}_{k}" for k in range(3) for axis in "xyv")]
    lines = [header] + [
        [f"{i}.png", *np.hstack([POINTS[i], codes[i][:, None]]).ravel()] for i in range(2)
    ]
    (root / "t.csv").write_text("".join(",".join(map(str, line)) + "\n" for line in lines))
    return table.read_faces, {"train": str(root / "t.csv"), "test": "", "hidden": hidden}


def write_table_of_0_and_1(root):
    return write_table(root, np.where(VISIBLE == 2, 1, 0), hidden="labelled")


def write_merl_rav(root):
    for i in range(2):
        signs = np.where(VISIBLE[i] == 1, -1, 1)[:, None] * (POINTS[i] + 1)
        signs[VISIBLE[i] == 0] = -1
        body = "".join(f"{x} {y}\n" for x, y in signs)
        (root / f"{i}.pts").write_text(f"version: 1\nn_points: 3\n{{\n{body}}}\n")
    return ibug.read_faces, {"root": str(root), "missing": "absolute"}


def write_yolo(root):
    (root / "data.yaml").write_text("train: .\nkpt_shape: [3, 3]\nnames: [face]\n")
    for i in range(2):
        shares = (POINTS[i] + 0.5) / [40, 32]
        rows = np.hstack([shares, VISIBLE[i][:, None]]) * (VISIBLE[i] > 0)[:, None]
        (root / f"{i}.txt").write_text(" ".join(map(str, [0, 0.5, 0.5, 1, 1, *rows.ravel()])))
    return yolo.read_faces, {"root": str(root)}


@pytest.mark.parametrize(
    "write", [write_coco, write_table, write_table_of_0_and_1, write_merl_rav, write_yolo]
)
def test_visibility_is_kept_and_may_mask_labels(write, tmp_path):
    write_images(tmp_path)
    read_faces, settings = write(tmp_path)
    faces = read_faces(**settings)
    known = VISIBLE > 0
    if write is write_table_of_0_and_1:  # such a column has no word for unlabelled
        known = np.ones_like(known)
    expected = np.where(known, POINTS.transpose(2, 0, 1), np.nan).transpose(1, 2, 0)
    assert np.allclose(faces.points, expected, atol=1e-4, equal_nan=True)
    assert faces.visible.tolist() == np.where(known, np.maximum(VISIBLE, 1), 0).tolist()
    masked = read_faces(**settings, occluded="mask")
    assert np.array_equal(np.isnan(masked.points).any(2), VISIBLE < 2)
    assert np.array_equal(masked.visible, faces.visible)
    assert read_faces(**settings, limit=1).visible.shape == (1, 3)


def test_labels_that_name_no_occluded_point_are_not_masked(tmp_path, contest):
    write_images(tmp_path)
    read_faces, settings = write_table(tmp_path, np.full((2, 3), 2))
    assert read_faces(**settings).visible is None
    with refused("data.occluded=mask", "t.csv"):
        read_faces(**settings, occluded="mask")
    with refused("data.occluded=mask"):
        thousand.read_faces(str(contest().root), occluded="mask")
