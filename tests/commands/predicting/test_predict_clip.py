"""`landmarks predict input=CLIP`: rows a frame, a clip with points, and what is refused."""

import csv

import cv2
import numpy as np
import pytest

from landmarks.cli import main as cli

PLACES = {"center": [0.5, 0.5], "center_spread": [0.0, 0.0], "side": 0.5, "side_spread": 0.0}


@pytest.fixture
def clip(tmp_path, photos):
    path = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (99, 75))
    for i in range(6):
        frame = np.full((75, 99, 3), 60, np.uint8)
        frame[5:69, i : i + 90] = cv2.resize(photos[0], (90, 64))
        writer.write(frame)
    writer.release()
    return path


def predict(run, *words, code=0):
    place = ["device=cpu", "amp=off", f"checkpoint={run}"]
    assert cli.main(["predict", *place, *words]) == code


def rows_of(folder):
    with (folder / "predictions.csv").open() as file:
        return list(csv.reader(file))


def frames_of(path):
    capture, found = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        found.append(read[1])
    return found


def test_a_clip_gives_a_row_a_frame_and_an_annotated_clip(run_of, clip, tmp_path):
    run, out = run_of(places=PLACES), tmp_path / "out"
    predict(run, f"input={clip}", f"run_dir={out}", "npz=true")
    rows = rows_of(out)
    assert [row[0] for row in rows[1:]] == list("012345")
    assert [float(row[1]) for row in rows[1:]] == pytest.approx([i / 10 for i in range(6)])
    with np.load(out / "predictions.npz") as stored:
        assert stored["points"].shape == (6, 5, 2)
        for row, points, state in zip(rows[1:], stored["points"], stored["states"], strict=True):
            assert row[2] == state
            found = [float(value) if value else np.nan for value in row[3:]]
            np.testing.assert_allclose(found, points.ravel(), atol=0.006)
    plain, drawn = frames_of(clip), frames_of(out / "annotated.mp4")
    assert len(drawn) == 6 and drawn[0].shape == plain[0].shape
    assert np.abs(drawn[0].astype(int) - plain[0]).max() > 60  # something is drawn


def test_an_odd_clip_is_drawn_whole(run_of, tmp_path):
    # OpenCV writes odd sides with its own MJPEG alone.
    odd, code = tmp_path / "odd.avi", cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(odd), cv2.CAP_OPENCV_MJPEG, code, 10, (99, 75))
    picture = np.full((75, 99, 3), 60, np.uint8)
    picture[-9:], picture[:, -9:] = 200, 200
    for _ in range(3):
        writer.write(picture)
    writer.release()
    assert frames_of(odd)[0].shape == (75, 99, 3)
    predict(run_of(places=PLACES), f"input={odd}", f"run_dir={tmp_path / 'out'}")
    drawn = frames_of(tmp_path / "out" / "annotated.mp4")[2]
    assert drawn.shape == (76, 100, 3)  # MPEG-4 has even sides: the last ones stand there twice
    assert drawn[40:, -9:].min() > 150 and drawn[-9:, :40].min() > 150


def test_a_clip_without_a_face_is_told_why(run_of, clip, tmp_path, monkeypatch, capsys):
    # Untrained, it draws its mean shape in the middle of whatever it looks at.
    run = run_of(places=PLACES)
    predict(run, f"input={clip}", f"run_dir={tmp_path / 'whole'}")
    (said,) = [line for line in capsys.readouterr().out.splitlines() if "faces=detect" in line]
    assert "resnet18" in said and "faces=whole" not in said
    opened = "landmarks.commands.predicting.predict_clip.open_detector"
    monkeypatch.setattr(opened, lambda *named: lambda image: np.empty((0, 4)))
    detect = ["faces=detect", "detector=it.onnx"]
    predict(run, f"input={clip}", f"run_dir={tmp_path / 'detect'}", *detect)
    (said,) = [line for line in capsys.readouterr().out.splitlines() if "faces=whole" in line]
    assert "resnet18" not in said  # the model looked at nothing


def test_limit_rounding_and_no_drawing(run_of, clip, tmp_path):
    out = tmp_path / "out"
    words = ["data.limit=3", "round=true", "annotate=false", "smooth=one_euro", "smooth_beta=5"]
    predict(run_of(places=PLACES), f"input={clip}", f"run_dir={out}", *words)
    assert len(rows_of(out)) == 4 and not (out / "annotated.mp4").exists()
    assert not any("." in value for row in rows_of(out)[1:] for value in row[3:])


def test_what_a_clip_cannot_be_is_one_sentence(run_of, clip, tmp_path, capsys):
    run, out = run_of(places=PLACES), f"run_dir={tmp_path}/out"
    (tmp_path / "no.mp4").write_bytes(b"nothing")
    for words in (
        [f"input={tmp_path}/no.mp4"],
        [f"input={tmp_path}/nowhere.mov"],
        [f"input={clip}", "faces=boxes.csv"],
        [f"input={clip}", "faces=detect"],
    ):
        predict(run, *words, out, code=1)
        assert capsys.readouterr().err.count("\n") == 1
    predict(run_of(), f"input={clip}", out, code=1)  # an older checkpoint
    assert "init=RUN" in capsys.readouterr().err
    for words in (["smooth=one_euro"], [f"input={clip}", "batch_size=3"], ["smooth_beta=1"]):
        predict(run, *words, out, code=2)
    assert not (tmp_path / "out").exists()


def test_a_camera_ends_with_ctrl_c_and_keeps_what_it_saw(run_of, clip, tmp_path, monkeypatch):
    opened, real = [], cv2.VideoCapture

    class Camera:
        """Gives a clip's frames, then Ctrl-C."""

        def __init__(self, number):
            opened.append(number)
            self.clip = real(str(clip))

        def read(self):
            done, image = self.clip.read()
            if not done:
                raise KeyboardInterrupt
            return done, image

        def __getattr__(self, name):
            return getattr(self.clip, name)

    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    out = tmp_path / "out"
    predict(run_of(places=PLACES), "input=camera:3", f"run_dir={out}")
    assert opened == [3] and len(rows_of(out)) == 7
    times = [float(row[1]) for row in rows_of(out)[1:]]
    assert times == sorted(times) and (out / "annotated.mp4").is_file()
