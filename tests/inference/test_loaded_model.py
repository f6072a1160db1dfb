"""A model from Python: images of any form in, points in their own pixels out."""

import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from refusals import refused

import landmarks
from landmarks.cli import main as cli

ROOT = Path(__file__).parents[2]
PLAIN = {"device": "cpu", "amp": "off"}


@pytest.fixture(scope="module")
def model(run_of):
    return landmarks.load(run_of(), **PLAIN)


def write(folder, photos):
    paths = [folder / f"{i}.png" for i in range(len(photos))]
    for path, photo in zip(paths, photos, strict=True):
        assert cv2.imwrite(str(path), photo)
    return paths


def test_every_form_of_an_image_gives_the_same_points(model, photos, tmp_path):
    paths = write(tmp_path, photos)
    expected = model.predict(photos, channels="bgr")
    assert isinstance(expected, landmarks.Landmarks) and len(expected) == len(photos)
    assert expected.points.shape == (len(photos), 5, 2) and expected.points.dtype == np.float32
    rgb = [np.ascontiguousarray(photo[..., ::-1]) for photo in photos]
    tensors = [torch.from_numpy(photo).permute(2, 0, 1) for photo in rgb]
    mixed = [paths[0], *tensors[1:3], Image.fromarray(rgb[3]), str(paths[4])]
    for images, channels in (
        (paths, None),
        (rgb, "rgb"),
        ([Image.fromarray(photo) for photo in rgb], None),
        (tensors, None),
        ([tensor.float() / 255 for tensor in tensors], None),
        (mixed, None),
    ):
        found = model.predict(images, channels=channels)
        np.testing.assert_array_equal(found.points, expected.points)
    found = model.predict(photos, channels="bgr", batch_size=2)
    np.testing.assert_allclose(found.points, expected.points, atol=1e-4)
    for one in (paths[0], photos[0], Image.fromarray(rgb[0]), tensors[0]):
        found = model.predict(one, channels="bgr" if one is photos[0] else None)
        np.testing.assert_allclose(found.points, expected.points[:1], atol=1e-4)
    whole = model.predict(np.stack(rgb[:1] * 3), channels="rgb")
    np.testing.assert_allclose(whole.points, expected.points[[0, 0, 0]], atol=1e-4)
    other = model.predict(photos, channels="rgb")
    assert np.abs(other.points - expected.points).max() > 0.01


def test_grey_images_and_alpha_are_taken(model, photos):
    grey = photos[0][..., 0]
    expected = model.predict(np.repeat(grey[..., None], 3, 2), channels="rgb").points
    np.testing.assert_array_equal(model.predict(grey).points, expected)
    np.testing.assert_array_equal(model.predict(Image.fromarray(grey)).points, expected)
    alpha = np.dstack([photos[0], np.full_like(grey, 9)])
    plain = model.predict(photos[0], channels="bgr").points
    np.testing.assert_array_equal(model.predict(alpha, channels="bgr").points, plain)


def test_points_are_the_command_s(run_of, photos, tmp_path):
    run, paths = run_of("unet_resnet18"), write(tmp_path, photos)
    found = landmarks.load(run, **PLAIN).predict(paths)
    assert found.confidence.min() >= 0 and found.confidence.max() <= 1 and found.spread is None
    words = [f"checkpoint={run}", f"input={tmp_path}", "round=false", "npz=true", "device=cpu"]
    assert cli.main(["predict", *words, "amp=off", f"run_dir={tmp_path}/out"]) == 0
    written = np.load(tmp_path / "out/predictions.npz")
    np.testing.assert_array_equal(written["points"], found.points)
    np.testing.assert_array_equal(written["confidence"], found.confidence)


def test_names_regions_and_unlabelled_points(run_of, photos):
    model = landmarks.load(run_of(unlabelled=[3]), **PLAIN)
    found = model.predict(photos[0], channels="bgr")
    assert found.names == ["eyes_0", "eyes_1", "rest_0", "rest_1", "rest_2"]
    assert found.regions == {"eyes": range(0, 2), "rest": range(2, 5)}
    assert np.isnan(found.points[0, 3]).all() and np.isfinite(found.points[0, [0, 1, 2, 4]]).all()
    assert np.isnan(found.confidence).all()  # a regression does not know


def test_boxes_frame_faces(run_of, photos):
    settings = {"crop": "box", "box_margin": 0.1, "box_from": "data"}
    model = landmarks.load(run_of(settings=settings), **PLAIN)
    photo, box = photos[3], [50, 40, 130, 120]
    inside = model.predict(photo, channels="bgr", boxes=box).points
    shifted = np.roll(photo, (24, 24), (0, 1))
    moved = model.predict(shifted, channels="bgr", boxes=np.add(box, 24)).points
    np.testing.assert_allclose(moved, inside + 24, atol=0.01)
    with pytest.raises(landmarks.UserError, match="crop=box"):
        model.predict(photo, channels="bgr")


GREY = np.full((5, 5, 3), 7)


@pytest.mark.parametrize(
    ("images", "channels", "named"),
    [
        ("", None, ["empty text"]),
        (GREY.astype(np.uint8), "BGR", ["channels='BGR'", "channels='bgr'"]),
        ("nowhere.png", "xx", ["channels='xx'"]),
        (GREY.astype(np.int64), "rgb", ["int64", "from 7 to 7", "astype('uint8')"]),
        (torch.from_numpy(GREY.transpose(2, 0, 1)), None, ["int64", "from 7 to 7", "uint8"]),
        (GREY / 10, "rgb", ["float64", "(255.0 * image)"]),
        (GREY / 2, "rgb", ["float64", "from 3.5 to 3.5", "such as image.round()"]),
        (GREY * 99, "rgb", ["int64", "693"]),
        (GREY * np.nan, "rgb", ["float64", "not finite"]),
        (torch.full((3, 5, 5), np.nan), None, ["float32", "not finite"]),
        (torch.full((3, 5, 5), -1).bfloat16(), None, ["bfloat16", "from -1 to -1"]),
        (GREY > 3, "rgb", ["bool", "(255.0 * image)"]),
        ({"a.jpg": 1}, None, ["dict"]),
        ({"a.jpg"}, None, ["set"]),
    ],
)
def test_what_is_wrong_with_an_image_is_said(model, images, channels, named):
    with refused(*named):
        model.predict(images, channels=channels)


def test_half_precision_tensors_are_images(model, photos):
    tensor = torch.from_numpy(photos[0][..., ::-1].copy()).permute(2, 0, 1) / 256
    found = model.predict([tensor.bfloat16(), tensor.bfloat16().float()]).points
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.parametrize(
    ("images", "channels"),
    [
        ([], None),
        ("nowhere.png", None),
        (3, None),
        ([3], None),
        ([None], None),
        (np.zeros((5, 5, 3), np.uint8), None),
        (np.zeros((5, 5, 3)), "rgb"),
        (np.zeros((5, 5, 2), np.uint8), "rgb"),
        (np.zeros((0, 5, 3), np.uint8), "rgb"),
        (torch.full((3, 5, 5), 3.0), None),
        (np.zeros(4, np.uint8), "rgb"),
        (torch.zeros(2, 5, 5), None),
        (np.zeros((5, 5, 3), np.uint8), "gbr"),
    ],
)
def test_what_is_no_image_is_one_sentence(model, images, channels):
    with pytest.raises(landmarks.UserError):
        model.predict(images, channels=channels)


def test_messages_speak_of_python_not_of_settings(model, photos, run_of, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no image")
    cv2.imwrite(str(tmp_path / "b.png"), photos[0])
    boxed = landmarks.load(run_of(settings={"crop": "box", "box_margin": 0.2}), **PLAIN)
    for call, named in (
        (lambda: model.predict(tmp_path / "a.jpg"), r"a\.jpg"),
        (lambda: model.predict([photos[0], tmp_path / "a.jpg"], channels="bgr"), r"a\.jpg"),
        (lambda: model.predict(tmp_path), "folder.*glob"),
        (lambda: boxed.predict(photos[0], channels="bgr"), r"boxes=\[\["),
        (lambda: model.predict(photos[0], channels="bgr", boxes=[5, 5, 1, 9]), "no size"),
        (lambda: model.predict(photos[0], channels="bgr", boxes=[1, 1, np.inf, 9]), "no size"),
        (lambda: model.predict(photos[0], channels="bgr", boxes=[1, 1, 9, 9]), "leave boxes out"),
        (lambda: boxed.predict(photos[0], channels="bgr", boxes=[999, 9, 1999, 99]), "outside"),
        (lambda: boxed.predict(tmp_path / "b.png", boxes=[-9, -9, -2, -2]), "outside"),
        (lambda: boxed.predict(photos[0], channels="bgr", boxes=[["a", 1, 9, 9]]), "no table"),
        (lambda: boxed.predict(photos[0], channels="bgr", boxes=[[1, 1, 9, 9], [1]]), "no table"),
        (lambda: model.predict(photos[0], channels="bgr", batch_size="many"), "batch_size='many'"),
        (lambda: landmarks.load(run_of(), one_at_a_time=True), "one_at_a_time=True"),
        (lambda: landmarks.load([run_of()], ensemble="median"), "of several models"),
        (lambda: landmarks.load(tmp_path, device="gpu"), "device=gpu"),
        (lambda: landmarks.load([tmp_path], ensemble="average"), "ensemble=average"),
        (lambda: landmarks.load("nowhere.onnx"), r"nowhere\.onnx.*exported"),
        *((lambda given=given: landmarks.load(given), "folder") for given in (3, None, [], "")),
    ):
        with pytest.raises(landmarks.UserError, match=named) as raised:
            call()
        said = str(raised.value)
        assert not any(word in said for word in ("data.", "faces=", "box_from", "checkpoint="))


def test_a_model_of_boxes_of_labels_looks_twice_at_boxes(run_of, photos):
    settings = {"crop": "box", "box_margin": 0.1, "box_from": "points"}
    places = {"center": [0.5, 0.5], "center_spread": [0.0, 0.0], "side": 0.5, "side_spread": 0.0}
    boxed = landmarks.load(run_of(settings=settings, places=places), **PLAIN)
    whole = landmarks.load(run_of(settings={"crop": "letterbox"}, places=places), **PLAIN)
    box = [50, 40, 130, 120]
    found = [it.predict(photos[3], channels="bgr", boxes=box).points for it in (boxed, whole)]
    np.testing.assert_array_equal(*found)


@pytest.mark.filterwarnings("error")
def test_what_was_found_is_printed_in_a_line(model, photos):
    found = model.predict(photos, channels="bgr")  # a regression that looks once
    assert repr(found) == f"<Landmarks: {len(photos)} faces of 5 points>"
    assert repr(model.predict(photos[0], channels="bgr")) == "<Landmarks: 1 face of 5 points>"
    found.confidence[:] = 0.5
    assert repr(found).endswith("5 points, mean confidence 0.5>")


def test_boxes_must_be_as_many_as_images(model, photos):
    with pytest.raises(landmarks.UserError, match="boxes"):
        model.predict(photos, channels="bgr", boxes=[[0, 0, 5, 5]])


def test_opencv_keeps_its_threads(model, photos):
    cv2.setNumThreads(2)
    model.predict(photos[0], channels="bgr")
    assert cv2.getNumThreads() == 2


def test_importing_the_package_imports_no_torch():
    for line in ("import landmarks; landmarks.load", "from landmarks import Model, Landmarks"):
        code = f"{line}; import sys; print('torch' in sys.modules)"
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "False"


def test_the_page_s_examples_run(run_of, photos, tmp_path, monkeypatch, capsys):
    text = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    assert len(blocks) > 5
    run_of(folder=tmp_path / "runs/faces")
    run_of(folder=tmp_path / "runs/other", seed=1)
    run_of(folder=tmp_path / "runs/boxed", settings={"crop": "box", "box_margin": 0.1})
    cv2.imwrite(str(tmp_path / "a.jpg"), photos[0])
    cv2.imwrite(str(tmp_path / "b.png"), photos[1])
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos/c.jpg"), photos[1])
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks:
        exec(compile(block, f"docs/api.md: {block[:40]}", "exec"), names)
    said = capsys.readouterr().out
    assert "rest_2 is at " in said and "(2, 5, 2)" in said and "nowhere.jpg" in said
    assert isinstance(names["model"], landmarks.Model)


def test_pil_images_that_would_be_read_wrongly_or_not_at_all_are_refused(model, tmp_path):
    deep = Image.fromarray(np.full((40, 40), 30_000, np.uint16))
    with pytest.raises(landmarks.UserError, match=r"Image 0 .*I;16"):
        model.predict(deep)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90, 3), np.uint8)).save(
        tmp_path / "a.jpg"
    )
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:1500])
    with pytest.raises(landmarks.UserError, match="Image 1 "):
        model.predict([Image.open(tmp_path / "a.jpg"), Image.open(tmp_path / "cut.jpg")])


@pytest.mark.parametrize(
    ("images", "named"),
    [(None, r"cv2\.imread"), ([None], r"Image 0.*cv2\.imread"), (b"abc", "bytes")],
)
def test_what_was_not_read_is_named(images, named, model):
    with pytest.raises(landmarks.UserError, match=named):
        model.predict(images)
