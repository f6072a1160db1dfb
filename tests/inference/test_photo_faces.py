"""Faces anywhere in photos: boxes, the framing of training, and a second look."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import landmarks
from landmarks.cli import main as cli
from landmarks.data.batches.cropped_faces import CroppedFaces
from landmarks.data.crops.boxes import square_about
from landmarks.data.crops.expected_face_place import measure_places
from landmarks.data.faces import Faces
from landmarks.inference.finder_protocol import Framing
from landmarks.inference.predictor import Predictor
from landmarks.runs.checkpoint import load_checkpoint

PLAIN = {"device": "cpu", "amp": "off"}
PLACES = {"center": [0.5, 0.5], "center_spread": [0.0, 0.0], "side": 0.5, "side_spread": 0.0}


class Inputs:
    """Three faces: points over half of the input's side, in its middle, moved to the right."""

    size = 40

    def __getitems__(self, rows):
        square = torch.tensor([[9.5, 9.5], [29.5, 9.5], [29.5, 29.5], [torch.nan, torch.nan]])
        points = torch.stack([square + torch.tensor([row, 0.0]) for row in rows])
        return type("Batch", (), {"points": points})


def test_places_are_those_of_the_labelled_points():
    places = measure_places(Inputs(), np.arange(3), "box")
    assert places["side"] == pytest.approx(0.5) and places["side_spread"] == pytest.approx(0)
    assert places["center"] == pytest.approx([0.525, 0.5])
    assert places["center_spread"] == pytest.approx([np.std([0, 1, 2]) / 40, 0], abs=1e-5)
    assert places["shown"] == [1, 1]


@pytest.mark.parametrize(
    ("crop", "shown"), [("letterbox", [0.75, 1]), ("stretch", [1, 1]), ("center", [1, 1])]
)
def test_the_usual_shape_of_photos_is_kept(crop, shown):
    sizes = [(60, 80), (30, 40), (99, 33)]  # width and height
    pixels = [np.zeros((height, width, 3), np.uint8) for width, height in sizes]
    names, points = np.array([b"a", b"b", b"c"]), np.float32([[[9, 9], [20, 20]]] * 3)
    faces = Faces(Path(), names, points, source="here", pixels=pixels)
    places = measure_places(CroppedFaces(faces, crop, 32), np.arange(3), crop)
    assert places["shown"] == pytest.approx(shown, abs=1e-5)


def test_a_found_face_has_the_bars_that_photos_had_in_training(run_of, photos):
    places = {**PLACES, "shown": [0.75, 1]}
    predictor = Predictor(run_of(places=places) / "best.pt", **PLAIN)
    boxes = np.float32([[20, 20, 40, 40]])
    lit = [np.full((90, 90, 3), 200, np.uint8)]
    faces = Faces(Path(), np.array([b"a"]), source="here", boxes=boxes, pixels=lit)
    framing = Framing(batch_size=1, detected=True, workers=0)
    batch = next(iter(predictor.batches(faces, framing)))
    bar = round(predictor.input_size / 8)
    columns = batch.images[0].numpy().max((0, 1))
    assert not columns[:bar].any() and not columns[-bar:].any() and columns[bar:-bar].all()


def test_squares_put_faces_where_a_model_expects_them():
    places = {**PLACES, "center": [0.5, 0.6], "side": 0.25}
    (square,) = square_about(np.array([[10, 20, 50, 30]]), places)
    side = 20 / 0.25  # of the root of 40 times 10
    assert square.tolist() == pytest.approx([30 - side / 2, 25 - 0.6 * side, 70, 25 + 0.4 * side])


def paste(photo, at, size=(400, 500)):
    larger = np.full((*size, 3), 90, np.uint8)
    larger[at[1] : at[1] + photo.shape[0], at[0] : at[0] + photo.shape[1]] = photo
    return larger


def test_a_face_in_a_larger_photo_is_seen_as_its_own_crop(run_of, photos, monkeypatch):
    model = landmarks.load(run_of(places=PLACES, settings={"crop": "stretch"}), **PLAIN)
    photo = cv2.resize(photos[0], (64, 64))
    model.finder.config["crop"] = "letterbox"
    alone = model.predict(photo, channels="bgr").points
    box = [115.5, 215.5, 147.5, 247.5]
    monkeypatch.setattr("landmarks.inference.loaded_model.LOOKS", 1)
    found = model.predict(paste(photo, (100, 200)), channels="bgr", boxes=box).points
    np.testing.assert_allclose(found, np.add(alone, [100, 200]), atol=0.3)


@pytest.fixture
def folder(photos, tmp_path):
    (tmp_path / "in").mkdir()
    for i, photo in enumerate(photos[:3]):
        cv2.imwrite(str(tmp_path / f"in/{i}.png"), paste(photo, (20 * i, 30)))
    return tmp_path


def predict(run, folder, *words, code=0, out="out"):
    line = [f"checkpoint={run}", f"input={folder}/in", "device=cpu", "amp=off", "round=false"]
    assert cli.main(["predict", *line, f"run_dir={folder / out}", *words]) == code
    if code:
        return None
    text = (folder / out / "predictions.csv").read_text()
    return [line.split(",") for line in text.splitlines()]


def test_a_file_of_boxes_gives_one_row_a_face(run_of, folder):
    run = run_of(places=PLACES)
    table = "file_name,x0,y0,x1,y1\n2.png,40,30,90,150\n0.png,5,10,60,90\n2.png,50,40,80,100\n"
    (folder / "boxes.csv").write_text(table)
    rows = predict(run, folder, f"faces={folder}/boxes.csv", "npz=true")
    assert rows[0][:6] == ["file_name", "face", "box_x0", "box_y0", "box_x1", "box_y1"]
    assert [row[:2] for row in rows[1:]] == [["0.png", "0"], ["2.png", "0"], ["2.png", "1"]]
    assert [float(value) for value in rows[2][2:6]] == [40, 30, 90, 150]
    coco = '{"images": [{"id": 1, "file_name": "2.png"}], "annotations": [{"image_id": 1, "bbox": '
    (folder / "boxes.json").write_text(coco + "[40, 30, 50, 120]}]}")
    again = predict(run, folder, f"faces={folder}/boxes.json", out="coco")
    assert again[1][6:] == rows[2][6:]
    once = predict(run, folder, f"faces={folder}/boxes.json", "looks=1", out="once")
    assert once[1][6:] != again[1][6:]


def test_predictions_go_to_labelling_tools(run_of, folder, capsys):
    run = run_of(places=PLACES)
    table = "file_name,x0,y0,x1,y1\n2.png,40,30,90,150\n0.png,5,10,60,90\n2.png,50,40,80,100\n"
    (folder / "boxes.csv").write_text(table)
    words = [f"faces={folder}/boxes.csv", "round=false"]
    rows = predict(run, folder, *words, "format=coco", out="coco")
    content = json.loads((folder / "coco/coco.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["0.png", "2.png"]
    for row, face in zip(rows[1:], content["annotations"], strict=True):
        found = np.delete(face["keypoints"], np.s_[2::3])
        np.testing.assert_allclose(found, np.array(row[6:], float), atol=0.006)
    predict(run, folder, *words, "format=pts", out="pts", code=1)
    said = capsys.readouterr().err
    assert all(choice in said for choice in ("format=pts", "format=coco", "cvat", "labelme"))
    predict(run, folder, *words, out="coco", code=1)  # the folder holds predictions
    assert f"run_dir={folder / 'coco'}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "",
        "file_name,x0\n0.png,1\n",
        "file_name,x0,y0,x1,y1\n0.png,9,9,5,5\n",
        "{}",
        "file_name,x0,y0,x1,y1\n0.png,a,b,c,d\n",
        "file_name,x0,y0,x1,y1\nno.png,1,1,5,5\n",
        "file_name,x0,y0,x1,y1\n0.png,900,1,950,5\n",
    ],
)
def test_boxes_that_cannot_be_are_one_sentence(run_of, folder, text, capsys):
    (folder / "boxes.csv").write_text(text)
    predict(run_of(places=PLACES), folder, f"faces={folder}/boxes.csv", code=1)
    assert capsys.readouterr().err.count("\n") == 1


def test_what_cannot_look_at_faces_is_one_sentence(run_of, folder, capsys):
    run, other = run_of(places=PLACES), run_of()
    (folder / "boxes.csv").write_text("file_name,x0,y0,x1,y1\n0.png,5,10,60,90\n")
    (folder / "no.onnx").write_bytes(b"nothing")
    predict(other, folder, f"faces={folder}/boxes.csv", code=1)  # an older checkpoint
    assert "faces=whole" in capsys.readouterr().err
    predict(run, folder, "faces=detect", code=1)
    assert "opencv_zoo" in capsys.readouterr().err
    for detector in ("no.onnx", "nowhere.onnx"):
        predict(run, folder, "faces=detect", f"detector={folder}/{detector}", code=1)
        assert "opencv_zoo" in capsys.readouterr().err
    predict(run, folder, "faces=detect", f"detector={other}", code=1)
    assert "keypoint_rcnn" in capsys.readouterr().err
    predict(run, folder, "looks=1", code=2)


def test_opencv_s_detector_s_boxes_are_looked_at(run_of, folder, monkeypatch):
    class Yunet:
        """Stands for OpenCV's: a box x, y, width, height and more, of the scaled image."""

        def setInputSize(self, size):
            self.size = size

        def detect(self, image):
            assert image.shape[1::-1] == self.size
            if self.size[0] < 100:
                return 1, None
            return 1, np.float32([[40, 30, 50, 120, *range(11)]])

    (folder / "yunet.onnx").write_bytes(b"x")
    monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *given: Yunet())
    words = ["faces=detect", f"detector={folder}/yunet.onnx"]
    rows = predict(run_of(places=PLACES), folder, *words)
    assert len(rows) == 4 and [float(v) for v in rows[1][2:6]] == [40, 30, 90, 150]


def test_another_network_is_no_detector_and_opencv_prints_nothing(run_of, folder, capfd):
    helper = pytest.importorskip("onnx").helper
    value = helper.make_tensor_value_info("x", 1, [1, 3, 64, 64])
    node = helper.make_node("Relu", ["x"], ["y"])
    out = helper.make_tensor_value_info("y", 1, [1, 3, 64, 64])
    graph = helper.make_graph([node], "graph", [value], [out])
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    (folder / "relu.onnx").write_bytes(model.SerializeToString())
    words = ["faces=detect", f"detector={folder}/relu.onnx"]
    predict(run_of(places=PLACES), folder, *words, code=1)
    said = capfd.readouterr().err
    assert said.count("\n") == 1 and "relu.onnx detects no faces" in said


def test_training_keeps_the_places(contest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny = ["model=resnet18", "model.weights=none", "input_size=32", "batch_size=4", "epochs=1"]
    tiny += ["split.share=0.25", "amp=off", "device=cpu", "workers=0", "run_dir=runs/a"]
    assert cli.main(["train", f"data.root={contest(train=12).root}", *tiny]) == 0
    places = load_checkpoint(tmp_path / "runs/a/best.pt").places
    assert 0 < places["side"] < 1 and 0.2 < places["center"][0] < 0.8
